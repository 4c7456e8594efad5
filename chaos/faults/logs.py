"""Logs that lose what nobody has read yet, or are replaced by other logs of the same name."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import psycopg
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.cimpl import NewTopic

from chaos.cluster.brokers import REPLICATION
from chaos.errors import RowFailed
from chaos.faults import row
from chaos.faults.brokers import EVENTS
from chaos.faults.seen import Held, metric, positions, problems, read_all
from chaos.faults.typed import funnel
from chaos.run import Run
from funnel.topics import topics

_STOPPED_SECONDS: Final = 60.0
_READ_SECONDS: Final = 60.0
_FLUSH_SECONDS: Final = 60.0
_AUDITED_SECONDS: Final = 180.0
_OUTGROWN_SECONDS: Final = 400.0
_ENDED_SECONDS: Final = 4.0
"""Postgres ends the open transaction of a frozen client after 3 s; until then a position may still move."""

_NOTICED_SECONDS: Final = 10.0
"""A client that cannot reach Kafka knows after 5 s."""

_DAMAGED: Final = 3
_LONG_ENOUGH: Final = 20
_SHIFT: Final = 3
"""So many records more are in the log that takes the place of another."""

_REMOVED: Final = "retention removed records"
_ANOTHER: Final = "truncated or recreated"

Ends = Mapping[int, int]


# -- retention -------------------------------------------------------------------------------------------------------


@row(28, "retention passes a service that is frozen, and wakes", part="a")
async def retention_passes_a_frozen_service(run: Run) -> None:
    """Records are deleted that scoring, frozen meanwhile, has not read; then it wakes.

    Each partition that lost records stops with the reason at /readyz and in the metric the alarm is about; the others
    go on. `funnel position skip` accepts the loss: scoring goes on, and the ledger counts exactly the records that are
    gone as skipped. The auditor names those events, and no others, until a person accepts that too.
    """
    await _retention(run, wake=True)


@row(28, "retention passes a service that is down, and starts again", part="b")
async def retention_passes_a_dead_service(run: Run) -> None:
    """The same, and scoring is killed before it can wake: the process that is started afresh finds the loss."""
    await _retention(run, wake=False)


async def _retention(run: Run, *, wake: bool) -> None:
    await run.load.reached(0.3)
    async with run.fault(f"delete records of {EVENTS} that scoring has not read", "wakes" if wake else "starts again"):
        await run.deployment.freeze("scoring")
        await run.pause(_ENDED_SECONDS)
        ends = await _unread_by_scoring(run, int(run.pick(full=200, quick=100, smoke=40)))
        copies = await run.off(read_all, run, EVENTS)
        await run.off(_delete_before, run, ends)
        if wake:
            run.deployment.thaw("scoring")
        else:
            await run.deployment.kill("scoring")
        stopped = await _stopped_for(run, "scoring", _REMOVED, lambda: _behind(run, ends))
        await _others_go_on(run, stopped)
        now = await _next(run, "scoring")
        lost = {n: [one for one in copies[n] if now[n] <= one.offset < ends[n]] for n in stopped}
        for number, held in lost.items():
            _declare(run, number, held)
            await run.off(_skip, run, number, ends[number])
        await _is_ready(run, "scoring")
    await run.progress()
    gone = [one for held in lost.values() for one in held]
    if (told := (await run.off(run.watcher.ledger))["events"]["skipped"]) != len(gone):
        raise RowFailed(f"the ledger says {told} events were skipped, and {len(gone)} are gone")
    await _accept_losses(run, gone)


async def _unread_by_scoring(run: Run, at_least: int) -> dict[int, int]:
    """Up to where metrics has read partitions that scoring has not, once there are so many such records."""

    def look() -> dict[int, int]:
        scoring, metrics = positions(run, "scoring", EVENTS), positions(run, "metrics", EVENTS)
        ends = {number: metrics[number] for number in scoring if metrics.get(number, 0) > scoring[number]}
        return ends if sum(end - scoring[number] for number, end in ends.items()) >= at_least else {}

    found = await run.until(look, _READ_SECONDS, f"{at_least} events are there that scoring has not read")
    some = run.chance.sample(sorted(found), min(_DAMAGED, len(found)))
    return {number: found[number] for number in some}


def _delete_before(run: Run, ends: Ends) -> None:
    places = [TopicPartition(run.topic(EVENTS), number, end) for number, end in ends.items()]
    for future in run.brokers.admin().delete_records(places).values():
        future.result(_FLUSH_SECONDS)


def _declare(run: Run, number: int, records: Iterable[Held]) -> None:
    for one in records:
        source, event_id = one.identity
        run.history.loss(
            {"service": "scoring", "topic": EVENTS, "partition": number, "offset": one.offset, "source": source,
             "event_id": event_id}
        )  # fmt: skip


def _skip(run: Run, number: int, to: int) -> None:
    funnel(run, "position", "skip", "scoring", EVENTS, str(number), "--to", str(to), "--yes")


async def _accept_losses(run: Run, lost: Iterable[Held]) -> None:
    """Accept what the auditor says scoring lost, once it names as many records as had no effect at all."""
    with psycopg.connect(run.dsn) as connection:
        applied = set(connection.execute("SELECT source, event_id FROM scoring.inbox").fetchall())
    expected = sum(one.identity not in applied for one in lost)

    def named() -> list[str]:
        found = [one for one in json.loads(funnel(run, "audit", "list", "--json")) if one["kind"] == "effects_lost"]
        return [str(one["id"]) for one in found] if len(found) >= expected else []

    ids = await run.until(named, _AUDITED_SECONDS, f"the auditor names {expected} records without effect")
    if len(ids) != expected:
        raise RowFailed(f"the auditor names {len(ids)} records without effect, and {expected} are gone")
    await run.off(funnel, run, "audit", "accept", *ids, "--note", "deleted before they were read")


# -- a topic made anew -----------------------------------------------------------------------------------------------


@row(28, "a topic is deleted and made anew while its readers run", part="c")
async def topic_made_anew(run: Run) -> None:
    """lead-events is deleted and created empty under running services; later the new log is longer than the old one.

    Scoring and metrics stop every partition they had read, with the reason, and none of their positions moves: not
    while the new log is shorter, nor when it has grown past them and both are started again. Once the log is restored
    from a copy, with what came meanwhile behind it, they go on and nothing is lost or done twice.
    """
    await _long_enough(run)
    async with run.fault(f"delete {EVENTS} and create it anew"):
        await run.deployment.freeze("ingest")
        copies = await _settled_copy(run)
        await _read_by_all(run, copies)
        before = {service: await _next(run, service) for service in topics()[EVENTS].consumers}
        await run.off(_make_anew, run)
        run.deployment.thaw("ingest")
        await _go_on_stopping(run, before)
        await _outgrown(run, before)
        for service in before:
            await run.deployment.kill(service)
        await _go_on_stopping(run, before)
        await _put_right(run, copies, {})
    await run.progress()


@row(28, "a topic is made anew while its readers cannot reach Kafka", part="d", needs=("proxies",))
async def topic_made_anew_out_of_sight(run: Run) -> None:
    """The product is cut off from Kafka; lead-events is made anew meanwhile, and its log is longer at once.

    When Kafka is back, the offsets look right to a reader that kept its leases all the time. Scoring and metrics stop
    every partition all the same, and no position moves; with the log restored they go on.
    """
    await _long_enough(run)
    async with run.fault(f"make {EVENTS} anew while Kafka is cut off"):
        await run.deployment.freeze("ingest")
        copies = await _settled_copy(run)
        await _read_by_all(run, copies)
        before = {service: await _next(run, service) for service in topics()[EVENTS].consumers}
        for name in run.proxies.named("broker"):
            await run.off(run.proxies.down, name)
        await run.pause(_NOTICED_SECONDS)
        await run.off(_make_anew, run)
        await run.off(_restore, run, {number: held[:_SHIFT] for number, held in copies.items()}, copies)
        for name in run.proxies.named("broker"):
            await run.off(run.proxies.up, name)
        run.deployment.thaw("ingest")
        await _go_on_stopping(run, before)
        await _put_right(run, copies, {number: len(held) + len(held[:_SHIFT]) for number, held in copies.items()})
    await run.progress()


async def _long_enough(run: Run) -> None:
    """Wait until every partition holds a number of events.

    A service knows a log by the id of the last record it has read. What clients send again when nobody answered comes
    first in the new log: in one of a few records it could stand where it stood before, and rightly pass.
    """
    await run.load.reached(0.3)
    partitions = range(topics()[EVENTS].partitions)
    await run.until(
        lambda: min(run.watcher.ends()[EVENTS, number] for number in partitions) >= _LONG_ENOUGH,
        _READ_SECONDS,
        f"every partition holds {_LONG_ENOUGH} events",
    )


async def _put_right(run: Run, copies: Mapping[int, Sequence[Held]], known: Ends) -> None:
    """Restore the log from `copies`, with what came after the offsets `known` behind it, and start its readers."""
    await run.deployment.freeze("ingest")
    now = await _settled_copy(run)
    later = {number: [one for one in held if one.offset >= known.get(number, 0)] for number, held in now.items()}
    await run.off(_make_anew, run)
    await run.off(_restore, run, copies, later)
    run.deployment.thaw("ingest")
    for service in topics()[EVENTS].consumers:
        await run.deployment.kill(service)
    for service in topics()[EVENTS].consumers:
        await _is_ready(run, service)


async def _settled_copy(run: Run) -> dict[int, Sequence[Held]]:
    """All records, once nothing comes any more: what a frozen process has sent still arrives."""
    copies = await run.off(read_all, run, EVENTS)
    while True:
        await asyncio.sleep(1)
        again = await run.off(read_all, run, EVENTS)
        if [len(held) for held in again.values()] == [len(held) for held in copies.values()]:
            return again
        copies = again


async def _read_by_all(run: Run, copies: Mapping[int, Sequence[Held]]) -> None:
    def read() -> bool:
        return all(
            positions(run, service, EVENTS).get(number, 0) > held[-1].offset
            for service in topics()[EVENTS].consumers
            for number, held in copies.items()
            if held
        )

    await run.until(read, _READ_SECONDS, f"everybody has read {EVENTS}")


def _make_anew(run: Run) -> None:
    admin, name, declared = run.brokers.admin(), run.topic(EVENTS), topics()[EVENTS]
    admin.delete_topics([name])[name].result(_FLUSH_SECONDS)
    give_up = time.monotonic() + _FLUSH_SECONDS
    while name in admin.list_topics(timeout=10).topics and time.monotonic() < give_up:
        time.sleep(0.1)
    new = NewTopic(name, declared.partitions, REPLICATION, config=declared.broker_config("production"))
    admin.create_topics([new])[name].result(_FLUSH_SECONDS)


async def _outgrown(run: Run, before: Mapping[str, Ends]) -> None:
    """Wait until the new log of some partition is longer than the old one was: its offsets look right again."""

    def longer() -> bool:
        ends = run.watcher.ends()
        was = [place for next_ in before.values() for place in next_.items()]
        return any(ends[EVENTS, number] > next_ > 0 for number, next_ in was)

    await run.until(longer, _OUTGROWN_SECONDS, "a partition of the new log is longer than the old one was")


def _read_before(ends: Ends) -> set[int]:
    return {number for number, end in ends.items() if end > 0}


async def _go_on_stopping(run: Run, before: Mapping[str, Ends]) -> None:
    """Return when all that was read has stopped. Raises RowFailed when a position has moved in a log of another."""
    for service, ends in before.items():
        try:
            await _stopped_for(run, service, _ANOTHER, partial(_read_before, ends))
        finally:
            now = await _next(run, service)
            if moved := {number: (was, now[number]) for number, was in ends.items() if was and now[number] != was}:
                raise RowFailed(f"{service} went on in a log that is not the one it had read: {moved}")


def _restore(run: Run, copies: Mapping[int, Sequence[Held]], later: Mapping[int, Sequence[Held]]) -> None:
    """Write the records back, each partition's in their order, so that those of `copies` get their old offsets."""
    producer = Producer(
        {"bootstrap.servers": run.brokers.direct, "acks": "all", "enable.idempotence": True, "log_level": 0}
    )
    failed: list[Any] = []
    for number in copies:
        for one in (*copies[number], *later.get(number, ())):
            producer.produce(
                run.topic(EVENTS), one.value, one.key, number, timestamp=one.timestamp_ms, headers=list(one.headers),
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )  # fmt: skip
            producer.poll(0)
    if producer.flush(_FLUSH_SECONDS) or failed:
        raise RowFailed(f"the log could not be restored: {failed[:1]}")


# -- looking ---------------------------------------------------------------------------------------------------------


def _behind(run: Run, ends: Ends) -> set[int]:
    """The partitions that scoring has not read up to `ends`; it may have fetched the others before it froze."""
    reached = positions(run, "scoring", EVENTS)
    return {number for number, end in ends.items() if reached[number] < end}


async def _stopped_for(run: Run, service: str, words: str, which: Callable[[], set[int]]) -> set[int]:
    """Return when just those partitions of lead-events stand still for this reason, by /readyz and by the metric."""
    name = f'funnel_spine_stopped_partitions{{service="{service}",topic="{EVENTS}"}}'

    def look() -> set[int]:
        told = {at: why for at, why in problems(run, service).items() if at.startswith(f"{EVENTS}/") and words in why}
        stopped = {int(at.rpartition("/")[2]) for at in told}
        return stopped if stopped == which() and metric(run, service, name) == len(stopped) else set()

    return await run.until(look, _STOPPED_SECONDS, f"{service} stops, just where it has to: {words}")


async def _others_go_on(run: Run, stopped: set[int]) -> None:
    """Return when partitions that did not stop moved, and raise RowFailed when one that did has moved."""
    before = await _next(run, "scoring")

    def moved() -> set[int]:
        now = positions(run, "scoring", EVENTS)
        return {number for number, at in now.items() if at != before[number]}

    await run.until(lambda: moved() - stopped, _READ_SECONDS, "other partitions go on")
    if jumped := await run.off(moved) & stopped:
        raise RowFailed(f"partitions {sorted(jumped)} went on although records are missing")


async def _is_ready(run: Run, service: str) -> None:
    await run.until(lambda: not problems(run, service), _STOPPED_SECONDS, f"{service} is ready again")


async def _next(run: Run, service: str) -> dict[int, int]:
    return await run.until(lambda: positions(run, service, EVENTS), _READ_SECONDS, "positions can be read")
