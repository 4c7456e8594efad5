"""Records that foreign producers write to our topics: poison, and versions that no build knows yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Final

from confluent_kafka import Producer

from chaos.errors import RowFailed
from chaos.faults import row
from chaos.faults.brokers import EVENTS
from chaos.faults.clients import poisoned_bodies
from chaos.faults.seen import count, positions, problems
from chaos.faults.typed import funnel
from chaos.run import Run
from funnel.topics import topics

_OUTCOMES: Final = "lead-outcomes"
_ELSEWHERE: Final = "elsewhere"
_FLUSH_SECONDS: Final = 30.0
_APPLIED_SECONDS: Final = 90.0
_LARGE: Final = 900_000
"""Bytes of the largest of them: just below what the topics take."""

Headers = list[tuple[str, str | bytes | None]]


@row(26, "poison on the topics, from foreign producers", part="b")
async def poison_on_the_topics(run: Run) -> None:
    """What ingest would have refused comes on lead-events and lead-outcomes directly, with our headers, with others,
    and with none: all of it is applied or put into quarantine, no partition stops, no process ends."""
    await run.load.reached(0.2)
    before = run.deployment.restarts()
    async with run.fault("poison on lead-events and lead-outcomes"):
        for number in range(int(run.pick(full=20, quick=5, smoke=2))):
            await run.off(_produce, run, number)
        for service, topic in (("scoring", EVENTS), ("metrics", EVENTS), ("routing", _OUTCOMES)):
            ends = await run.off(run.watcher.ends)
            await run.until(partial(_read_to, run, service, topic, ends), _APPLIED_SECONDS, f"{service} reads {topic}")
    await run.progress()
    aside = [await run.off(count, run, "SELECT count(*) FROM scoring.quarantine"),
             await run.off(count, run, "SELECT count(*) FROM routing.quarantine")]  # fmt: skip
    run.history.measured["put aside by scoring, routing"] = [float(number) for number in aside]
    if not all(aside):
        raise RowFailed("nothing of it was put into quarantine")
    if (after := run.deployment.restarts()) != before:
        raise RowFailed(f"processes ended: restarts were {before} and are {after}")


def _produce(run: Run, number: int) -> None:
    failed: list[str] = []
    producer = _producer(run)
    contents: Sequence[tuple[str, bytes | None]] = [*poisoned_bodies(), ("none", None), ("large", b"x" * _LARGE)]
    for topic, schema in ((EVENTS, b"lead_event.v1"), (_OUTCOMES, b"lead_outcome.v1")):
        for id_, content in contents:
            if content is not None and len(content) > _LARGE:
                continue
            identity: Headers = [("ce_source", _ELSEWHERE), ("ce_id", f"{topic}-{id_}-{number}")]
            told: Sequence[Headers] = (
                [*identity, ("ce_dataschema", schema)],
                [],
                [("ce_source", b"\xff\xfe"), ("ce_id", None), ("ce_dataschema", schema)],
                [*identity, ("ce_dataschema", schema), ("ce_bodyhash", "not hexadecimal")],
                [*identity, ("ce_dataschema", b"x" * 2000)],
            )
            for headers in told:
                producer.produce(run.topic(topic), content, headers=headers,
                                 on_delivery=lambda error, _: failed.append(str(error)) if error else None)  # fmt: skip
                producer.poll(0)
    if producer.flush(_FLUSH_SECONDS) or failed:
        raise RowFailed(f"poison could not be written: {failed[:1]}")


def _producer(run: Run) -> Producer:
    return Producer({"bootstrap.servers": run.brokers.direct, "acks": "all", "log_level": 0,
                     "message.max.bytes": 1_000_000})  # fmt: skip


def _read_to(run: Run, service: str, topic: str, ends: dict[tuple[str, int], int]) -> bool:
    reached = positions(run, service, topic)
    return all(reached.get(number, 0) >= end for (name, number), end in ends.items() if name == topic)


# -- versions --------------------------------------------------------------------------------------------------------


@row(26, "a record in a schema version of tomorrow", part="c")
async def version_of_tomorrow(run: Run) -> None:
    """One partition of lead-events gets a record in version 99: scoring and metrics wait before it and say so, also
    after a restart, and the other partitions go on. When a person gives the record up, they go on behind it, and of
    what waited behind it nothing is lost."""
    await run.load.reached(0.3)
    number = run.chance.randrange(topics()[EVENTS].partitions)
    async with run.fault("a record in lead_event.v99", f"{EVENTS}/{number}"):
        offset = await run.off(_tomorrow, run, number)
        for service in topics()[EVENTS].consumers:
            await _waits(run, service, number, offset)
        await run.progress()
        await run.pause(run.pick(full=30, quick=15, smoke=8))
        for service in topics()[EVENTS].consumers:
            await run.deployment.kill(service)
            await _waits(run, service, number, offset)
        for service in topics()[EVENTS].consumers:
            skip = ("position", "skip", service, EVENTS, str(number), "--to", str(offset + 1), "--yes")
            await run.off(funnel, run, *skip)
            line = {"service": service, "topic": EVENTS, "partition": number, "offset": offset}
            run.history.loss(line | {"source": _ELSEWHERE, "event_id": "of-tomorrow"})
            past = partial(_is_past, run, service, number, offset)
            await run.until(past, _APPLIED_SECONDS, f"{service} goes on behind the record")
    await run.progress()


def _tomorrow(run: Run, number: int) -> int:
    """Write the record; its offset."""
    placed: list[int | None] = []
    producer = _producer(run)
    headers: Headers = [("ce_source", _ELSEWHERE), ("ce_id", "of-tomorrow"), ("ce_dataschema", b"lead_event.v99")]
    producer.produce(run.topic(EVENTS), json.dumps({"of": "tomorrow"}), partition=number, headers=headers,
                     on_delivery=lambda error, message: None if error else placed.append(message.offset()))  # fmt: skip
    if producer.flush(_FLUSH_SECONDS) or not placed or placed[0] is None:
        raise RowFailed("the record could not be written")
    return placed[0]


async def _waits(run: Run, service: str, number: int, offset: int) -> None:
    """Return when the service stands just before the record and names it at /readyz. Raises RowFailed if it is past."""

    def told() -> bool:
        return any(at == f"{EVENTS}/{number}" and "v99" in why for at, why in problems(run, service).items())

    await run.until(told, _APPLIED_SECONDS, f"{service} says that it waits for version 99")
    if (at := (await run.off(positions, run, service, EVENTS))[number]) != offset:
        raise RowFailed(f"{service} stands at {at}, and the record of tomorrow at {offset}")


def _is_past(run: Run, service: str, number: int, offset: int) -> bool:
    return positions(run, service, EVENTS)[number] > offset
