"""Kafka first, the spool second, and back: what becomes of each record, and who is not asked in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest

from funnel.errors import BadData, DatabaseAway, FunnelError
from funnel.kafka.producer import RECORD_BYTES_MAX, Acknowledged, ProducerRecord, PublishError
from services.ingest import storage as module
from services.ingest.domain.batch import Stored
from services.ingest.spool import Spool, SpoolAway
from services.ingest.storage import Drain, Kafka, Storage
from services.ingest.store.spool import Waiting
from tests.support import eventually

AWAY = PublishError("Kafka cannot be reached.")
TOO_LARGE = PublishError("The record is too large.", too_large=True)


def record(name: str, size: int = 1) -> ProducerRecord:
    return ProducerRecord("lead-events", b"key", b"x" * size, [("ce_id", name.encode())])


def name_of(one: ProducerRecord) -> str:
    return dict(one.headers)["ce_id"].decode()


class Broker:
    """Acknowledges everything that is not among its `failures`; does not answer for what is `frozen`."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.held: list[str] = []
        self.failures: dict[str, PublishError] = {}
        self.away = False
        self.frozen: dict[str, asyncio.Event] = {}

    async def publish(self, records: Sequence[ProducerRecord]) -> list[Acknowledged | PublishError]:
        names = [name_of(one) for one in records]
        self.asked.append(names)
        for name in self.frozen.keys() & set(names):
            await self.frozen[name].wait()
        results: list[Acknowledged | PublishError] = []
        for name in names:
            failure = AWAY if self.away else self.failures.get(name)
            if failure is None:
                self.held.append(name)
            results.append(failure or Acknowledged(0, len(self.held)))
        return results

    async def partitions(self, topic: str) -> int:
        assert topic == "lead-events"
        if self.away:
            raise AWAY
        return 3

    def freeze(self, name: str) -> None:
        self.frozen[name] = asyncio.Event()

    def thaw(self, name: str) -> None:
        self.frozen.pop(name).set()


class Table(Spool):
    """A spool in memory; `claimed` rows are given to nobody."""

    def __init__(self) -> None:
        self.rows: dict[int, ProducerRecord] = {}
        self.claimed: set[int] = set()
        self.away = False
        self.error: FunnelError = DatabaseAway("Gone.")
        self.forgetting_fails = False
        self.filled = asyncio.Event()
        self.looks = 0
        self.refusals = 0
        self.last_id = 0

    def names(self) -> list[str]:
        return [name_of(one) for one in self.rows.values()]

    async def put(self, records: Sequence[ProducerRecord]) -> None:
        if self.away:
            raise SpoolAway("Postgres cannot be reached.")
        for one in records:
            self.last_id += 1
            self.rows[self.last_id] = one
        self.filled.set()

    async def claim(self, most: int, after: int = 0) -> Mapping[int, ProducerRecord]:
        self.answer()
        self.looks += 1
        found = [id_ for id_ in self.rows if id_ not in self.claimed and id_ > after][:most]
        self.claimed |= set(found)
        return {id_: self.rows[id_] for id_ in found}

    async def forget(self, ids: Sequence[int]) -> None:
        self.answer()
        if self.forgetting_fails:
            raise DatabaseAway("Gone.")
        for id_ in ids:
            del self.rows[id_]

    async def release(self, ids: Sequence[int]) -> None:
        self.answer()
        self.claimed -= set(ids)

    async def waiting(self) -> Waiting:
        self.answer()
        return Waiting(len(self.rows), float(len(self.rows)))

    def answer(self) -> None:
        if self.away:
            self.refusals += 1
            raise self.error


class Parts:
    """A storage on stand-ins, with a clock that stands still."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.now = 0.0
        self.broker, self.table = Broker(), Table()
        self.kafka = Kafka(self.broker, seconds=seconds, monotonic=lambda: self.now)
        self.storage = Storage(self.kafka, self.table)

    async def store(self, *names: str) -> list[Stored]:
        self.now += 1
        return await self.storage.store([record(name) for name in names])

    async def drained(self, condition: Callable[[], object]) -> None:
        """Drain until `condition` holds, then stop."""
        stop = asyncio.Event()
        task = asyncio.create_task(Drain(self.kafka, self.table).run(stop))
        try:
            await eventually(condition)
        finally:
            stop.set()
            await task


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    return Parts()


async def test_what_kafka_has_is_not_in_the_spool(parts: Parts) -> None:
    assert await parts.store("a", "b") == [Stored.LOG, Stored.LOG]
    assert parts.table.rows == {}


async def test_only_what_kafka_did_not_acknowledge_goes_to_the_spool_and_as_it_is(parts: Parts) -> None:
    parts.broker.failures = {"b": AWAY, "c": TOO_LARGE}
    assert await parts.store("a", "b", "c") == [Stored.LOG, Stored.SPOOL, Stored.TOO_LARGE]
    assert list(parts.table.rows.values()) == [record("b")]


async def test_a_silent_kafka_is_waited_for_once_and_never_gets_the_records_later() -> None:
    parts = Parts(seconds=0.001)
    parts.broker.freeze("a")
    assert await parts.store("a") == [Stored.SPOOL]
    assert await parts.store("b", "c") == [Stored.SPOOL, Stored.SPOOL]
    assert parts.broker.asked == [["a"]]
    parts.broker.thaw("a")
    assert await parts.store("d") == [Stored.SPOOL]
    assert parts.broker.held == []
    assert parts.table.names() == ["a", "b", "c", "d"]


async def test_a_failure_beside_later_successes_does_not_mean_that_kafka_is_away(parts: Parts) -> None:
    """A partition without a leader: the records of the others go on as ever."""
    parts.broker.failures = {"a": AWAY}
    assert await parts.store("a", "b") == [Stored.SPOOL, Stored.LOG]
    assert await parts.store("c") == [Stored.LOG]

    parts.broker.freeze("a")
    slow = asyncio.create_task(parts.store("a"))
    await eventually(lambda: parts.broker.asked[-1] == ["a"])
    assert await parts.store("d") == [Stored.LOG]
    parts.broker.thaw("a")
    assert await slow == [Stored.SPOOL]
    assert parts.kafka.trouble() is None


async def test_with_both_away_nothing_is_vouched_for(parts: Parts) -> None:
    parts.broker.away = parts.table.away = True
    assert await parts.store("a", "b") == [Stored.UNKNOWN, Stored.UNKNOWN]
    assert await parts.store("c") == [Stored.UNKNOWN]
    assert parts.kafka.trouble() == str(AWAY)


async def test_with_the_spool_away_the_next_request_finds_kafka_back(parts: Parts) -> None:
    parts.broker.away = parts.table.away = True
    await parts.store("a")
    parts.broker.away = False
    assert await parts.store("b") == [Stored.LOG]
    assert parts.kafka.trouble() is None


async def test_with_the_spool_away_kafka_is_found_back_though_no_request_comes(parts: Parts) -> None:
    """Nothing can be published to find out: there is no row to be had, and a process that is not ready gets nothing."""
    parts.broker.away = parts.table.away = True
    await parts.store("a")
    stop = asyncio.Event()
    task = asyncio.create_task(Drain(parts.kafka, parts.table).run(stop))
    await eventually(lambda: parts.table.refusals > 2)
    assert parts.kafka.trouble() == str(AWAY)
    parts.broker.away = False
    await eventually(lambda: parts.kafka.trouble() is None)
    stop.set()
    await task


async def test_with_both_away_one_request_at_a_time_waits_for_kafka(parts: Parts) -> None:
    parts.broker.away = parts.table.away = True
    await parts.store("a")
    parts.broker.freeze("b")
    waiting = asyncio.create_task(parts.store("b"))
    await eventually(lambda: parts.broker.asked[-1] == ["b"])
    assert await parts.store("c") == [Stored.UNKNOWN]
    assert parts.broker.asked[-1] == ["b"]
    parts.broker.thaw("b")
    assert await waiting == [Stored.UNKNOWN]


async def test_what_is_too_large_is_never_spooled(parts: Parts) -> None:
    parts.broker.failures = {"a": TOO_LARGE}
    assert await parts.store("a") == [Stored.TOO_LARGE]
    parts.broker.away = True
    await parts.store("b")
    stored = await parts.storage.store([record("c", RECORD_BYTES_MAX), record("d")])
    assert stored == [Stored.TOO_LARGE, Stored.SPOOL]
    assert parts.table.names() == ["b", "d"]


async def test_a_record_too_large_says_nothing_about_kafka(parts: Parts) -> None:
    parts.broker.failures = {"a": TOO_LARGE}
    await parts.store("a")
    assert parts.kafka.trouble() is None


async def test_no_records_need_nobody(parts: Parts) -> None:
    assert await parts.store() == []
    assert parts.broker.asked == []


async def test_the_drain_empties_the_spool_as_soon_as_kafka_is_back_and_requests_go_to_kafka_again(
    parts: Parts,
) -> None:
    parts.broker.away = True
    for name in ("a", "b", "c"):
        assert await parts.store(name) == [Stored.SPOOL]
    stop = asyncio.Event()
    task = asyncio.create_task(Drain(parts.kafka, parts.table).run(stop))
    await eventually(lambda: len(parts.broker.asked) > 5)
    assert parts.table.names() == ["a", "b", "c"]
    parts.broker.away = False
    await eventually(lambda: parts.table.rows == {})
    assert parts.broker.held == ["a", "b", "c"]
    assert await parts.store("d") == [Stored.LOG]
    stop.set()
    await task


async def test_rows_tried_before_anybody_knew_that_kafka_is_away_do_not_wait_for_their_claims_to_run_out(
    parts: Parts,
) -> None:
    await parts.table.put([record("a"), record("b")])
    parts.broker.away = True
    stop = asyncio.Event()
    task = asyncio.create_task(Drain(parts.kafka, parts.table).run(stop))
    await eventually(lambda: len(parts.broker.asked) > 2)
    parts.broker.away = False
    await eventually(lambda: parts.broker.held == ["a", "b"])
    stop.set()
    await task


async def test_a_quiet_drain_is_woken_by_what_is_put_in(parts: Parts) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(Drain(parts.kafka, parts.table).run(stop))
    await eventually(lambda: parts.table.looks)
    looks = parts.table.looks
    await parts.table.put([record("a")])
    await eventually(lambda: parts.broker.held == ["a"])
    assert looks == 1
    stop.set()
    await task


async def test_rows_of_a_partition_without_a_leader_do_not_hide_that_kafka_is_back(parts: Parts) -> None:
    dead = [f"dead-{n}" for n in range(3 * module.PROBE_ROWS)]
    parts.broker.failures = dict.fromkeys(dead, AWAY)
    await parts.table.put([record(name) for name in (*dead, "alive")])
    parts.broker.away = True
    await parts.store("a")
    parts.broker.away = False
    parts.broker.failures["a"] = AWAY
    await parts.drained(lambda: parts.broker.held == ["alive"] and set(parts.table.names()) == {*dead, "a"})
    assert parts.kafka.trouble() is None
    assert await parts.store("b") == [Stored.LOG]


async def test_a_row_kafka_refuses_beside_others_keeps_its_claim(parts: Parts) -> None:
    """Tried again when that has run out, and in nobody's way until then."""
    parts.broker.failures = {"b": AWAY}
    await parts.table.put([record(name) for name in ("a", "b", "c")])
    await parts.drained(lambda: parts.broker.held == ["a", "c"] and parts.table.names() == ["b"])
    assert parts.table.claimed >= parts.table.rows.keys()


async def test_a_row_that_became_too_large_is_kept_for_a_person(parts: Parts) -> None:
    parts.broker.failures = {"a": TOO_LARGE}
    await parts.table.put([record("a"), record("b")])
    await parts.drained(lambda: parts.broker.held == ["b"])
    assert parts.table.names() == ["a"]
    assert parts.kafka.trouble() is None


async def test_what_is_published_is_not_published_again_because_it_could_not_be_taken_out(parts: Parts) -> None:
    await parts.table.put([record("a")])
    parts.table.forgetting_fails = True
    stop = asyncio.Event()
    task = asyncio.create_task(Drain(parts.kafka, parts.table).run(stop))
    await eventually(lambda: parts.broker.held == ["a"])
    parts.table.claimed.clear()  # as if Postgres had been away for longer than a claim lasts
    parts.table.forgetting_fails = False
    await eventually(lambda: parts.table.rows == {})
    assert parts.broker.held == ["a"]
    stop.set()
    await task


@pytest.mark.parametrize("error", [DatabaseAway("Gone."), BadData("Refused.")], ids=["away", "refused"])
async def test_the_drain_outlives_whatever_is_wrong_with_postgres(parts: Parts, error: FunnelError) -> None:
    await parts.table.put([record("a")])
    parts.table.away, parts.table.error = True, error
    stop = asyncio.Event()
    task = asyncio.create_task(Drain(parts.kafka, parts.table).run(stop))
    await eventually(lambda: parts.table.refusals)
    parts.table.away = False
    await eventually(lambda: parts.broker.held == ["a"])
    stop.set()
    await task
