"""Services under measurement: each a process of its own, started like the real ones, watched from outside."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from bench.errors import RunFailed
from bench.ground import Ground
from funnel.embedded.probes import service_problems
from funnel.embedded.process import Child, Program

STALL_SECONDS = 60.0
"""A run in which nothing has moved for so long has failed."""

_LOOK_SECONDS = 0.1  # looking costs Postgres some of the time that is measured
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Profiling:
    """Services are to write profiles of one kind (`mode`, see bench.profiled) in `folder`, each under its name."""

    mode: str
    folder: Path


class Service:
    """A running process; `name` is also its schema."""

    def __init__(self, name: str, child: Child) -> None:
        self.name = name
        self._child = child

    @property
    def process(self) -> psutil.Process:
        """Raises RunFailed when it has ended."""
        self.check()
        return psutil.Process(self._child.identity.pid)

    def check(self) -> None:
        """Raises RunFailed when the process has ended."""
        if not self._child.running():
            raise RunFailed(f"{self.name} ended, {self._child.why_ended()}")

    def kill(self) -> None:
        """kill -9."""
        os.kill(self._child.identity.pid, signal.SIGKILL)
        self._child.await_end()

    def stop(self) -> None:
        """Ask it to finish, and wait."""
        self._child.stop()


@contextmanager
def running(
    ground: Ground,
    modules: Mapping[str, str],
    profiling: Profiling | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[dict[str, Service]]:
    """The services (name -> Python module) at work. With `profiling`, each writes its profile as it ends.

    `environment` are variables beside those of the ground.
    """
    with ExitStack() as stack:
        found = {}
        for name, module in modules.items():
            found[name] = start(ground, name, module, profiling, environment)
            stack.callback(found[name].stop)
        yield found


def start(
    ground: Ground,
    name: str,
    module: str,
    profiling: Profiling | None = None,
    environment: Mapping[str, str] | None = None,
) -> Service:
    """Start one service, as `running` does; the caller stops it.

    It ends with this process, however that ends (on Linux).
    """
    runner: tuple[str, ...] = (module,)
    if profiling is not None:
        runner = ("bench.profiled", profiling.mode, str(profiling.folder / name), module)
    program = Program(name, (sys.executable, "-m", *runner), ground.environment() | dict(environment or {}))
    return Service(name, Child.start(program, ground.home / "logs" / f"{name}.log", ends_with_us=True))


def until_ready(services: Sequence[Service], urls: Sequence[str]) -> None:
    """Wait until every one answers that it is ready. Raises RunFailed."""
    give_up = time.monotonic() + STALL_SECONDS
    for service, url in zip(services, urls, strict=True):
        while problems := service_problems(url):
            service.check()
            if time.monotonic() > give_up:
                raise RunFailed(f"{service.name} does not get ready: {problems}")
            time.sleep(_LOOK_SECONDS)


class Progress:
    """How far services have come, as their position rows tell."""

    def __init__(self, ground: Ground) -> None:
        self._connection = psycopg.connect(ground.settings.postgres_dsn, autocommit=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def applied(self, schema: str) -> int:
        """Events applied by the service. Repeats and quarantined records are no part of it."""
        return self._number(f"SELECT coalesce(sum(applied), 0) FROM {schema}.position")

    def passed(self, schema: str) -> int:
        """Records that the service is done with, whatever became of them."""
        return self._number(f"SELECT coalesce(sum(applied + duplicates + quarantined), 0) FROM {schema}.position")

    def all_sent(self, schema: str) -> bool:
        """Whether the service has published everything it decided."""
        return not self._number(f"SELECT count(*) FROM (SELECT FROM {schema}.outbox LIMIT 1) AS waiting")

    def published(self, schema: str) -> int:
        """Records the service has decided to publish so far."""
        return self._number(f"SELECT coalesce(pg_sequence_last_value('{schema}.outbox_id_seq'), 0)")

    def wait_for_statistics(self) -> None:
        """Wait until nobody else is connected: a session hands in the last of its statistics as it ends."""
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        give_up = time.monotonic() + STALL_SECONDS
        while self._number(others):
            if time.monotonic() > give_up:
                raise RunFailed("Sessions of services that have stopped do not end.")
            time.sleep(_LOOK_SECONDS)

    def rows_written(self) -> int:
        """Rows inserted, updated and deleted in all tables, see `wait_for_statistics`."""
        return self._number("SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables")

    def wal_bytes(self) -> int:
        """Bytes of write-ahead log since the server was made."""
        return self._number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")

    def _number(self, query: str) -> int:
        row = self._connection.execute(query).fetchone()
        return int(row[0]) if row else 0


def until(services: Sequence[Service], moved: Callable[[], int], done: Callable[[int], bool]) -> int:
    """Look until `done` holds of the number that `moved` tells, and return it.

    Raises RunFailed when a service ends, or the number has not changed for `STALL_SECONDS`.
    """
    last, since = -1, time.monotonic()
    while not done(number := moved()):
        if number != last:
            last, since = number, time.monotonic()
        elif time.monotonic() - since > STALL_SECONDS:
            raise RunFailed(f"Nothing has moved for {STALL_SECONDS:g} s, at {number} records.")
        for service in services:
            service.check()
        time.sleep(_LOOK_SECONDS)
    return number


def batches(url: str) -> tuple[float, float]:
    """Number of batch transactions of a service so far, and seconds spent in them."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=_ANSWER_SECONDS) as answer:
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    totals = dict.fromkeys(("count", "sum"), 0.0)
    for sample in samples:
        for suffix in totals:
            if sample.name == f"funnel_spine_batch_seconds_{suffix}":
                totals[suffix] += sample.value
    return totals["count"], totals["sum"]
