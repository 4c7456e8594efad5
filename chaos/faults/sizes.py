"""Records that are too large for their topic, though not for whoever sends them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, Final

from chaos.errors import RowFailed
from chaos.faults import row
from chaos.faults.brokers import EVENTS
from chaos.faults.seen import count, problems, read_all
from chaos.run import Run
from chaos.traffic import Item, Request, Way
from funnel.topics import topics

ASSIGNMENTS: Final = "lead-assignments"
_LIMIT: Final = 20_000
"""max.message.bytes of the topic: a usual event has 1 KB, ingest takes 64 KB."""

_LARGE: Final = 40_000
REFUSED: Final = "413"
_SOURCE: Final = "sizes"
_SEEN_SECONDS: Final = 45.0
_DRAINED_SECONDS: Final = 90.0
_TINY: Final = 100
_SOME_FIT: Final = 0.5
_FRAME_BYTES: Final = 61 + 12
"""What Kafka writes around the only record of a batch, about."""


@row(11, "oversized record between the limits of sender and topic", part="a")
async def oversized_events(run: Run) -> None:
    """The topic takes 20 KB where ingest takes 64 KB: events of 40 KB, alone and between others of the same person.

    Each of them gets 413, its neighbours in the same partition are stored, and everybody else notices nothing.
    """
    await run.load.reached(0.2)
    async with run.fault(f"max.message.bytes of {EVENTS} = {_LIMIT}"):
        await run.off(_limit, run, EVENTS, _LIMIT)
        await _felt(run)
        before = run.load.statuses[REFUSED]
        rounds = int(run.pick(full=100, quick=40, smoke=15))
        await asyncio.gather(*(_alone_and_between(run, f"large{number}@example.com") for number in range(rounds)))
        await run.off(_unlimit, run, EVENTS)
    await run.progress()
    if run.load.statuses[REFUSED] != before + rounds:
        raise RowFailed(f"of {rounds} large events, {run.load.statuses[REFUSED] - before} got {REFUSED}")


async def _alone_and_between(run: Run, person: str) -> None:
    await run.load.deliver(Request(Way.SINGLE, (_event(f"alone-{person}", person, _LARGE),)))
    before, after = _event(f"before-{person}", person), _event(f"after-{person}", person)
    await run.load.deliver(Request(Way.BATCH, (before, _event(f"between-{person}", person, _LARGE), after)))


async def _felt(run: Run) -> None:
    """Return when the topic's leaders refuse what is too large: settings reach them a moment later."""
    while not run.load.statuses[REFUSED]:
        item = _event(f"felt-{time.time_ns()}", "felt@example.com", _LARGE)
        await run.load.deliver(Request(Way.SINGLE, (item,)))


@row(11, "oversized records in the spool when Kafka is back", part="b", needs=("proxies",))
async def oversized_in_the_spool(run: Run) -> None:
    """Kafka is away, so that the spool takes events that the topic is going to refuse.

    They wait there, named in the log, and hold nobody up; when the limit is raised they are published.
    """
    await run.load.reached(0.2)
    large = [_event(f"spooled-{number}", f"spooled{number}@example.com", _LARGE) for number in range(5)]
    async with run.fault("Kafka cut off", f"max.message.bytes of {EVENTS} = {_LIMIT}"):
        await run.off(_limit, run, EVENTS, _LIMIT)
        for name in run.proxies.named("broker"):
            await run.off(run.proxies.down, name)
        for item in large:
            await run.load.deliver(Request(Way.SINGLE, (item,)))
        await run.pause(run.pick(full=20, quick=10, smoke=5))
        for name in run.proxies.named("broker"):
            await run.off(run.proxies.up, name)
        await run.until(lambda: _spooled_of_others(run) == 0, _DRAINED_SECONDS, "the others are drained")
        if (left := await run.off(_spooled_of_ours, run)) != len(large):
            raise RowFailed(f"of {len(large)} records that no topic takes, {left} are in the spool")
        await run.progress()
        await run.off(_unlimit, run, EVENTS)
        await run.until(lambda: _spooled_of_ours(run) == 0, _DRAINED_SECONDS, "what was too large is drained")
    await run.progress()


def _event(id_: str, person: str, size: int = 0) -> Item:
    """An event of about so many bytes, and at least as many as it needs."""
    body: dict[str, Any] = {"event_id": id_, "type": "page.viewed", "identity": {"email": person}}
    body["properties"] = {"filling": "x" * size}
    return Item("event", _SOURCE, id_, person, "page.viewed", json.dumps(body).encode())


def _spooled_of_ours(run: Run) -> int:
    return count(run, "SELECT count(*) FROM ingest.spool WHERE octet_length(value) > %s", _LIMIT)


def _spooled_of_others(run: Run) -> int:
    return count(run, "SELECT count(*) FROM ingest.spool WHERE octet_length(value) <= %s", _LIMIT)


@row(16, "failed batch of the relay: no record fits", part="a")
async def nothing_fits(run: Run) -> None:
    """The assignment topic takes 100 bytes for a while: every batch of routing's relay fails.

    Nothing leaves the outbox and nothing reaches the topic; routing says so at /readyz and goes on reading. With the
    limit as it was, everything is published in order, once.
    """
    await run.load.reached(0.3)
    async with run.fault(f"max.message.bytes of {ASSIGNMENTS} = {_TINY}"):
        await run.off(_limit, run, ASSIGNMENTS, _TINY)
        await _relay_complains(run)
        published, waiting = await run.off(_published, run), await run.off(_outbox, run)
        await run.progress()
        await run.pause(run.pick(full=30, quick=15, smoke=8))
        await run.until(lambda: _outbox(run) > waiting, _SEEN_SECONDS, "assignments wait in the outbox")
        if (now := await run.off(_published, run)) != published:
            raise RowFailed(f"{now - published} records are on a topic that takes none")
        await run.off(_unlimit, run, ASSIGNMENTS)
    await run.progress()


@row(16, "failed batch of the relay: some records fit", part="b")
async def some_fit(run: Run) -> None:
    """The limit lies in the middle of the sizes of assignments: of a batch that fails, some records would fit.

    No record of a lead overtakes one before it that does not fit. With the limit as it was, all are published.
    """
    await run.load.reached(0.3)
    sizes = await run.off(_sizes, run)
    limit = sizes[int(len(sizes) * _SOME_FIT)]
    async with run.fault(f"max.message.bytes of {ASSIGNMENTS} = {limit}", f"sizes are {sizes[0]} to {sizes[-1]}"):
        await run.off(_limit, run, ASSIGNMENTS, limit)
        await _relay_complains(run)
        await run.pause(run.pick(full=60, quick=30, smoke=15))
        await run.off(_unlimit, run, ASSIGNMENTS)
    await run.progress()


async def _relay_complains(run: Run) -> None:
    await run.until(
        lambda: "too large" in problems(run, "routing").get("relay", ""),
        _SEEN_SECONDS,
        "routing says at /readyz that the relay cannot publish",
    )


def _sizes(run: Run) -> Sequence[int]:
    """Bytes of each record on the assignment topic as a batch of its own, in order of size."""
    records = [record for held in read_all(run, ASSIGNMENTS).values() for record in held]
    if not records:
        raise RowFailed("no assignment was published yet")
    return sorted(_FRAME_BYTES + record.size for record in records)


def _published(run: Run) -> int:
    return sum(end for (topic, _), end in run.watcher.ends().items() if topic == ASSIGNMENTS)


def _outbox(run: Run) -> int:
    return count(run, "SELECT count(*) FROM routing.outbox WHERE topic = %s", ASSIGNMENTS)


def _limit(run: Run, topic: str, size: int) -> None:
    run.brokers.configure([run.topic(topic)], max_message_bytes=str(size))


def _unlimit(run: Run, topic: str) -> None:
    run.brokers.configure([run.topic(topic)], max_message_bytes=topics()[topic].config["max.message.bytes"])
