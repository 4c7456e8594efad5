"""Failpoints: named places between two durable effects, at which a process can be made to die or to freeze.

Off unless FUNNEL_FAILPOINTS names a folder when the process starts; then `reach` is a function that does nothing. In
that folder a file with the name of a point arms it, at any time:

    kill                    SIGKILL to itself, the first time a process gets there
    kill 3                  the third time it gets there after the file was seen
    stop service=routing    SIGSTOP to itself, only in a process of that service

Whoever takes the order renames the file to `<point>.hit`, with its pid in it, before it obeys: one process only, and
not again after its restart. Where the folder has a folder `visits`, each process lists there, in `<service>.<pid>`,
the points it has reached.

`before` and `after` stand on both sides of one effect; `commit` stands between a statement and the COMMIT of its
transaction. Between two statements of one transaction is one point, named after the first.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

VARIABLE: Final = "FUNNEL_FAILPOINTS"
VISITS: Final = "visits"
COMMAND_LINE: Final = "funnel"
"""The service name of processes that are no service."""


class Point(NamedTuple):
    """What is done and what is not when a process is at the point, and the services that can get there."""

    meaning: str
    services: tuple[str, ...]


_INGEST: Final = ("ingest",)
_SPINE: Final = ("scoring", "routing", "metrics")
_PUBLISHERS: Final = ("scoring", "routing")
_COMMAND: Final = (COMMAND_LINE,)

POINTS: Final[Mapping[str, Point]] = {
    # taking in
    "ingest.publish.before": Point("A request is judged; nothing of it is stored.", _INGEST),
    "ingest.publish.after": Point("Kafka has answered for its records; no answer is made yet.", _INGEST),
    "ingest.answer.before": Point("The answer is made, and not written.", _INGEST),
    "ingest.answer.after": Point("The answer is given to the connection.", _INGEST),
    "idempotency.begin.before": Point("An Idempotency-Key came; it is not taken.", _INGEST),
    "idempotency.begin.commit": Point("The key is taken, uncommitted.", _INGEST),
    "idempotency.begin.after": Point("The key is taken; the work is not begun.", _INGEST),
    "idempotency.keep.before": Point("The work is done; its answer is not kept.", _INGEST),
    "idempotency.keep.commit": Point("The answer is kept, uncommitted.", _INGEST),
    "idempotency.keep.after": Point("The answer is kept, and not sent.", _INGEST),
    "idempotency.drop.before": Point("The work failed; its key is still taken.", _INGEST),
    "idempotency.drop.commit": Point("The key is free, uncommitted.", _INGEST),
    "idempotency.drop.after": Point("The key is free; the answer is not sent.", _INGEST),
    "idempotency.prune.before": Point("Old keys are about to be deleted.", _INGEST),
    "idempotency.prune.commit": Point("Old keys are deleted, uncommitted.", _INGEST),
    "idempotency.prune.after": Point("Old keys are deleted.", _INGEST),
    "receipts.tell.before": Point("A receipt is made, and not stored.", _INGEST),
    "receipts.tell.after": Point("The receipt is stored; the process does not know it yet.", _INGEST),
    # the spool
    "spool.put.before": Point("Kafka did not take records; none is in the spool.", _INGEST),
    "spool.put.commit": Point("The records are in the spool, uncommitted.", _INGEST),
    "spool.put.after": Point("The records are in the spool; nobody who waits knows it.", _INGEST),
    "spool.claim.before": Point("Rows wait; none is claimed.", _INGEST),
    "spool.claim.commit": Point("Rows are claimed, uncommitted.", _INGEST),
    "spool.claim.after": Point("Rows are claimed, and not published.", _INGEST),
    "spool.publish.before": Point("Claimed rows are about to be published.", _INGEST),
    "spool.publish.after": Point("Kafka has answered for them; they are still in the spool.", _INGEST),
    "spool.forget.before": Point("Published rows are about to be deleted.", _INGEST),
    "spool.forget.commit": Point("Published rows are deleted, uncommitted.", _INGEST),
    "spool.forget.after": Point("Published rows are deleted.", _INGEST),
    "spool.release.before": Point("Rows that Kafka did not take are still claimed.", _INGEST),
    "spool.release.commit": Point("They are free again, uncommitted.", _INGEST),
    "spool.release.after": Point("They are free again.", _INGEST),
    # changes by people
    "admin.commit.before": Point("A change over HTTP is made, uncommitted.", ("ingest", "routing")),
    "admin.commit.after": Point("The change is made; nobody was told.", ("ingest", "routing")),
    # sending to Kafka
    "producer.send.before": Point("Batches are made, and not sent.", (*_INGEST, *_PUBLISHERS, *_COMMAND)),
    "producer.send.after": Point(
        "The broker has answered; nobody who waits knows it.", _INGEST + _PUBLISHERS + _COMMAND
    ),
    # one batch, one transaction
    "spine.advance.before": Point("The transaction is open, and empty.", _SPINE),
    "spine.advance.after": Point("The positions are moved.", _SPINE),
    "spine.inbox.after": Point("The ids of the records are taken.", _SPINE),
    "spine.lock.after": Point("The handler's rows are locked.", _SPINE),
    "spine.load.after": Point("The handler's rows are read.", _SPINE),
    "spine.decide.after": Point("It is decided; nothing is written.", _SPINE),
    "spine.save.after": Point("The handler's rows are written.", _SPINE),
    "spine.outbox.after": Point("The records to publish are written.", _PUBLISHERS),
    "spine.forget.after": Point("The ids of rejected records are free again.", ("scoring", "metrics")),
    "spine.quarantine.after": Point("Records are put aside.", _SPINE),
    "spine.recount.after": Point("The counters of duplicates and of the quarantine are corrected.", _SPINE),
    "spine.commit.before": Point("All is written; COMMIT is not sent.", _SPINE),
    "spine.commit.after": Point("COMMIT is answered; the process has not gone on.", _SPINE),
    # taking up partitions
    "spine.locate.before": Point("Partitions are held; where they stand is not known.", _SPINE),
    "spine.locate.commit": Point("Partitions never read have a start, uncommitted.", _SPINE),
    "spine.locate.after": Point("It is known where each stands; nothing is read.", _SPINE),
    "lease.add.before": Point("Rows of new partitions are about to be made.", _SPINE),
    "lease.add.commit": Point("They are made, uncommitted.", _SPINE),
    "lease.add.after": Point("They are made.", _SPINE),
    "lease.renew.before": Point("Leases are about to be renewed.", _SPINE),
    "lease.renew.commit": Point("They are renewed, uncommitted.", _SPINE),
    "lease.renew.after": Point("They are renewed; the process does not know it yet.", _SPINE),
    "lease.take.before": Point("A lease that nobody holds is about to be taken.", _SPINE),
    "lease.take.commit": Point("It is taken, uncommitted.", _SPINE),
    "lease.take.after": Point("It is taken; nobody works under it yet.", _SPINE),
    "lease.release.before": Point("The process ends; it still holds its leases.", _SPINE),
    "lease.release.commit": Point("They are given back, uncommitted.", _SPINE),
    "lease.release.after": Point("They are given back.", _SPINE),
    # publishing
    "relay.publish.before": Point("Rows of the outbox are read, and not sent.", _PUBLISHERS),
    "relay.publish.after": Point("Kafka has answered for them; they are still in the outbox.", _PUBLISHERS),
    "relay.forget.after": Point("They are gone from the outbox, and the offsets stored.", _PUBLISHERS),
    "relay.readback.before": Point("Rows wait from before; the topics are not read back.", _PUBLISHERS),
    "relay.readback.found": Point("It is known which of them are on the topics; they are still there.", _PUBLISHERS),
    "relay.readback.after": Point("Those are gone from the outbox.", _PUBLISHERS),
    "releaser.commit.before": Point("Held leads are given away, uncommitted.", ("routing",)),
    "releaser.commit.after": Point("Held leads are given away; the relay does not know it.", ("routing",)),
    # operators' commands
    "quarantine.publish.before": Point("A record is about to be replayed.", _COMMAND),
    "quarantine.publish.after": Point("It is published again; it does not count as replayed.", _COMMAND),
    "quarantine.mark.after": Point("It counts as replayed in one quarantine.", _COMMAND),
    "position.skip.before": Point("Records are about to be given up.", _COMMAND),
    "position.skip.commit": Point("They are given up, uncommitted.", _COMMAND),
    "position.skip.after": Point("They are given up.", _COMMAND),
}


class BadFailpoint(ValueError):
    """A file does not say what to do at which point."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to do at a point: `signal` to oneself, at the so-manieth `visit`; `service` None means any."""

    signal: signal.Signals
    visit: int = 1
    service: str | None = None


_SIGNALS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_ORDER: Final = re.compile(r"(?P<what>kill|stop)(?: (?P<visit>[1-9]\d*))?(?: service=(?P<service>\w+))?\s*", re.ASCII)


def order_in(file: Path, text: str) -> Order:
    """What `text`, the content of `file`, orders. Raises BadFailpoint."""
    point = POINTS.get(file.name)
    if point is None:
        raise BadFailpoint(f"{file}: there is no failpoint of this name.")
    found = _ORDER.fullmatch(text)
    if found is None:
        raise BadFailpoint(f"{file}: {text!r} is not `kill` or `stop`, with a number and `service=NAME` if need be.")
    service = found["service"]
    if service is not None and service not in point.services:
        raise BadFailpoint(f"{file}: {service} cannot get there, only {', '.join(point.services)}.")
    return Order(_SIGNALS[found["what"]], int(found["visit"] or 1), service)


def arm(folder: Path, point: str, order: str) -> None:
    """Arm `point`, whole or not at all. Raises BadFailpoint."""
    file = folder / point
    order_in(file, order)
    (folder / f"{point}.hit").unlink(missing_ok=True)
    new = folder / f"{point}.new"
    new.write_text(order, encoding="utf-8")
    new.rename(file)


def hit_by(folder: Path, point: str) -> int | None:
    """The pid of the process that obeyed at `point` since it was armed, or None."""
    try:
        return int((folder / f"{point}.hit").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def visited(folder: Path) -> set[tuple[str, str]]:
    """The points that were reached while `folder` had a folder for visits, each with the service that got there."""
    files = (folder / VISITS).glob("*.*")
    return {(name, file.stem) for file in files for name in file.read_text(encoding="utf-8").split()}


class Failpoints:
    """The points of this process, armed by files in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Raises BadFailpoint when `folder` is no folder."""
        if not folder.is_dir():
            raise BadFailpoint(f"{VARIABLE} names {folder}, which is no folder.")
        self._folder = folder
        self._seen: dict[str, int] = {}
        self._noted: set[str] = set()

    def reach(self, name: str) -> None:
        """Take note of the visit; obey if the point is armed. Raises BadFailpoint for a file that says nothing."""
        self._note(name)
        file = self._folder / name
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            self._seen.pop(name, None)
            return
        order = order_in(file, text)
        if order.service not in (None, service_name()):
            return
        self._seen[name] = seen = self._seen.get(name, 0) + 1
        if seen >= order.visit and self._takes(file):
            os.kill(os.getpid(), order.signal)

    def _takes(self, file: Path) -> bool:
        """Make the order this process's own; False when another one was faster."""
        mine = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            file.rename(mine)
        except FileNotFoundError:
            return False
        mine.write_text(str(os.getpid()), encoding="utf-8")
        mine.rename(file.with_name(f"{file.name}.hit"))
        self._seen.pop(file.name, None)
        return True

    def _note(self, name: str) -> None:
        folder = self._folder / VISITS
        if name in self._noted or not folder.is_dir():
            return
        self._noted.add(name)
        with (folder / f"{service_name()}.{os.getpid()}").open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")


def service_name() -> str:
    """The service that this process is, by the module it was started with."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    package, _, rest = (spec.name if spec else "").partition(".")
    return rest.partition(".")[0] if package == "services" and rest else COMMAND_LINE


def off(name: str) -> None:
    """What `reach` is where nothing is armed."""


def _of_environment() -> Callable[[str], None]:
    folder = os.environ.get(VARIABLE)
    return Failpoints(Path(folder)).reach if folder else off


reach = _of_environment()
"""Call it where a process may die, with a name in POINTS."""
