"""What ingest called stored, held against the real log: a planted shortfall shows, and nothing else looks like one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from zoneinfo import ZoneInfo

import psycopg
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from funnel.clock import SystemClock
from funnel.contracts import IngestReceipt, LeadOutcome
from funnel.kafka.consumer import Consumer, Partition
from funnel.postgres import Database
from funnel.settings import Settings
from services.ingest import receipts as of_ingest
from services.metrics import books
from services.metrics.books import Books
from services.metrics.handlers import MetricsHandler
from tests.integration.ingest import service as ingest
from tests.integration.metrics.funnel_play import record_of
from tests.integration.metrics.services import Client, Witness, running, witnessing
from tests.support import eventually
from tests.support.kafka import Record, produce
from tests.unit.ingest.given import an_event, an_outcome
from tests.unit.metrics.records import event, receipt

PARTS = ("events", "outcomes")


def tell(settings: Settings, *receipts: IngestReceipt) -> None:
    """Publish the receipts as ingest does."""
    records = [record_of("ingest-receipts", one) for one in receipts]
    produce(settings.kafka_bootstrap, f"{settings.topic_prefix}ingest-receipts", records)


def answered(number: int, part: str, count: int) -> IngestReceipt:
    return receipt(number, events=count) if part == "events" else receipt(number, outcomes=count)


def store(settings: Settings, part: str, name: str, count: int, partition: int | None = None) -> None:
    """Put records of that kind into the log."""
    if part == "events":
        topic, values = "lead-events", [event(event_id=f"{name}-{n}") for n in range(count)]
        records = [record_of(topic, value) for value in values]
    else:
        topic, lead = "lead-outcomes", "l-1"
        told = [LeadOutcome(type="accepted", source="crm", event_id=f"{name}-{n}", lead_id=lead) for n in range(count)]
        records = [record_of(topic, value) for value in told]
    placed = [Record(one.value, one.key, one.headers, partition=partition) for one in records]
    produce(settings.kafka_bootstrap, settings.topic_prefix + topic, placed)


async def part_of(client: Client, part: str, **expected: int) -> bool:
    """Whether the account of `part` has these numbers."""
    account = (await client.json("/v1/ledger"))[part]
    assert {name: account[name] for name in expected} == expected
    return True


async def exported(client: Client, **expected: int) -> bool:
    series = await client.series()
    told = {kind: series.get(("funnel_unaccounted", (("kind", kind),))) for kind in expected}
    assert told == expected
    return True


def answered_by_process(settings: Settings) -> dict[str, tuple[int, int]]:
    with psycopg.connect(settings.postgres_dsn) as connection:
        rows = connection.execute("SELECT process, events, outcomes FROM metrics.answered").fetchall()
    return {process: (events, outcomes) for process, events, outcomes in rows}


@pytest.mark.parametrize("part", PARTS)
async def test_a_planted_shortfall_shows_and_is_no_more_when_the_records_are_found(
    settings: Settings, part: str
) -> None:
    other = PARTS[1 - PARTS.index(part)]
    store(settings, part, "a", 5)
    tell(settings, answered(1, part, 5))
    async with running(settings) as client:
        await eventually(lambda: part_of(client, part, accepted=5, answered=5, missing=0, unaccounted=0))
        tell(settings, answered(2, part, 2))
        await eventually(lambda: part_of(client, part, accepted=5, answered=7, missing=2, unaccounted=2))
        await eventually(lambda: exported(client, **{part: 2, f"{part}_answered": 2, other: 0, f"{other}_answered": 0}))
        assert "Unaccounted: " in (await client.get("/")).text
        store(settings, part, "b", 2)
        await eventually(lambda: exported(client, **{part: 0, f"{part}_answered": 0}))


async def test_records_that_were_gone_before_anybody_read_them_are_missing(settings: Settings) -> None:
    store(settings, "events", "a", 5, partition=1)
    tell(settings, receipt(1, events=5))
    place = TopicPartition(f"{settings.topic_prefix}lead-events", 1, 3)
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for gone in admin.delete_records([place]).values():
        await asyncio.to_thread(gone.result, 30)
    lost = {"answered": 5, "missing": 3, "unaccounted": 3}
    async with running(settings) as client:
        await eventually(lambda: part_of(client, "events", accepted=2, in_flight=2, **lost))
        async with witnessing(settings, Witness("scoring", "lead-events")):
            await eventually(lambda: part_of(client, "events", accepted=2, applied=2, in_flight=0, **lost))


async def test_restarts_and_redelivery_of_receipts_change_no_number(settings: Settings) -> None:
    told = [receipt(n, process=process, events=n, outcomes=1) for process in ("a", "b") for n in (1, 2, 3)]
    expected = {"a": (6, 3), "b": (6, 3)}
    tell(settings, *told, *told[1:4])
    async with running(settings) as client:
        await eventually(lambda: part_of(client, "events", answered=12))
        assert answered_by_process(settings) == expected
    rewind(settings)
    tell(settings, *told)
    async with running(settings) as client:
        await eventually(lambda: all_receipts_read(settings, 15))
        assert answered_by_process(settings) == expected
        tell(settings, receipt(4, process="a", events=10))
        await eventually(lambda: part_of(client, "events", answered=22))
    assert answered_by_process(settings) == expected | {"a": (16, 3)}


async def test_a_receipt_that_cannot_be_is_quarantined_and_stops_nothing(settings: Settings) -> None:
    impossible = [Record(b"not json"), record_of("ingest-receipts", receipt(1, events=2**63))]
    produce(settings.kafka_bootstrap, f"{settings.topic_prefix}ingest-receipts", impossible)
    tell(settings, receipt(2, events=-1), receipt(3, events=2**62), receipt(4, events=2**62), receipt(5, outcomes=1))
    tell(settings, receipt(1, events=2**62, process="p-2"))
    async with running(settings) as client:
        await eventually(lambda: part_of(client, "outcomes", answered=1))
        await eventually(lambda: all_receipts_read(settings, 7))
        assert await part_of(client, "events", answered=2**63)
    with psycopg.connect(settings.postgres_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM metrics.quarantine").fetchone() == (4,)


async def test_at_work_nothing_alarms_and_in_the_end_every_record_is_vouched_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_ingest, "PERIOD_SECONDS", 0.02)
    async with (
        running(settings) as client,
        witnessing(settings, Witness("scoring", "lead-events")),
        witnessing(settings, Witness("routing", "lead-outcomes")),
    ):
        working = asyncio.create_task(two_processes_after_each_other(settings))
        looks = 0
        while not working.done():
            await nothing_is_missing(client)
            looks += 1
        await working
        assert looks > 0
        whole = {"in_flight": 0, "missing": 0, "unaccounted": 0}
        await eventually(lambda: part_of(client, "events", accepted=240, answered=240, duplicates=40, **whole))
        await eventually(lambda: part_of(client, "outcomes", accepted=40, answered=40, **whole))
    assert len(answered_by_process(settings)) == 2


async def test_what_comes_in_while_the_ledger_is_read_looks_like_no_loss(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deterministic: records come, and are told and read of, on both sides of the moment the log is asked."""
    numbers = iter(range(1, 100))

    async def more_comes() -> None:
        number = next(numbers)
        for part in PARTS:
            await asyncio.to_thread(store, settings, part, f"at-{number}", 3)
        await asyncio.to_thread(tell, settings, receipt(number, events=3, outcomes=3))
        await eventually(lambda: answered_by_process(settings) == {"p-1": (3 * number, 3 * number)})

    class Interrupted(Consumer):
        async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
            await more_comes()
            found = await super().bounds(partitions)
            await more_comes()
            return found

    monkeypatch.setattr(books, "Consumer", Interrupted)
    async with witnessing(settings, MetricsHandler(ZoneInfo(settings.timezone))), opened(settings) as opened_books:
        for look in range(3):
            ledger = await opened_books.ledger()
            assert set(ledger.unaccounted().values()) == {0}
            assert ledger.events.answered == 6 * look
            assert ledger.events.accepted == 6 * look + 3


async def test_records_behind_an_open_transaction_of_somebody_else_are_not_missing(settings: Settings) -> None:
    topic = f"{settings.topic_prefix}lead-outcomes"
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"{}", partition=0)
    producer.flush(30)
    store(settings, "outcomes", "behind", 3, partition=0)
    tell(settings, receipt(1, outcomes=3))
    async with running(settings) as client, witnessing(settings, Witness("routing", "lead-outcomes")):
        await eventually(lambda: part_of(client, "outcomes", answered=3, in_flight=4, missing=0, unaccounted=0))
        await eventually(lambda: waiting_with_an_age(client, "routing", "lead-outcomes", records=4))
        producer.abort_transaction(30)
        settled = {"applied": 3, "in_flight": 0}
        await eventually(lambda: part_of(client, "outcomes", accepted=3, missing=0, unaccounted=0, **settled))
        # The aborted record and the marker after it are known for what they are: they hide no shortfall.
        tell(settings, receipt(2, outcomes=1))
        await eventually(lambda: part_of(client, "outcomes", accepted=3, missing=1, unaccounted=1, **settled))


async def nothing_is_missing(client: Client) -> None:
    ledger = await client.json("/v1/ledger")
    alarms = {part: account["unaccounted"] for part, account in ledger.items() if account["unaccounted"]}
    assert not alarms, ledger


async def two_processes_after_each_other(settings: Settings) -> None:
    """Batches with repeats among them and between them, and outcomes, by one ingest and then by its successor."""
    for run in range(2):
        async with ingest.running(settings) as client:
            for batch in range(10):
                sent = [an_event(event_id=f"{run}-{batch}-{n}") for n in range(10)]
                for events in (sent, [*sent[:2], sent[0]]):
                    answer = await client.post("/v1/events/batch", json={"events": events})
                    assert answer.status_code == 202
                for number in range(2):
                    answer = await client.post("/v1/outcomes", json=an_outcome(event_id=f"{run}-{batch}-{number}"))
                    assert answer.status_code == 202


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Books]:
    database = await Database.open(settings.postgres_dsn, schema="metrics", application_name="test")
    found = Books(settings, database, SystemClock())
    try:
        yield found
    finally:
        await found.close()
        await database.close()


async def waiting_with_an_age(client: Client, service: str, topic: str, *, records: int) -> bool:
    series = await client.series()
    place = (("partition", "0"), ("service", service), ("topic", topic))
    assert series.get(("funnel_lag_records", place)) == records
    return series.get(("funnel_lag_seconds", place), 0) > 0


def all_receipts_read(settings: Settings, count: int) -> bool:
    with psycopg.connect(settings.postgres_dsn) as connection:
        found = connection.execute("SELECT sum(next) FROM metrics.position WHERE topic = 'ingest-receipts'").fetchone()
    return found == (count,)


def rewind(settings: Settings) -> None:
    """Everything is delivered again, as after a restored position."""
    with psycopg.connect(settings.postgres_dsn) as connection:
        connection.execute("UPDATE metrics.position SET next = first, last_ce_id = NULL WHERE next IS NOT NULL")
