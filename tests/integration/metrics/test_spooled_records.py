"""The spool in the ledger: what waits there is not missing, and what was taken out of it unpublished is."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from funnel.clock import SystemClock
from funnel.embedded.kafka import KafkaServer
from funnel.kafka.consumer import Consumer, Partition
from funnel.kafka.producer import ProducerRecord
from funnel.postgres import Database
from funnel.settings import Settings
from funnel.topics import ensure_topics
from services.ingest.storage import Drain
from services.metrics import books
from services.metrics.books import Books
from services.metrics.store import QUERIES
from tests.integration.ingest import service as ingest
from tests.integration.metrics.funnel_play import record_of
from tests.integration.metrics.services import Client, Witness, running, witnessing
from tests.support import eventually
from tests.support.kafka import produce
from tests.support.mistreated import Mistreated
from tests.support.spools import ask, drained, kafka_of, rows, spool_of
from tests.unit.ingest.given import an_event, an_outcome
from tests.unit.metrics.records import event, receipt

SCORING = Witness("scoring", "lead-events")
ROUTING = Witness("routing", "lead-outcomes")
RECOVERY_SECONDS = 120.0


def spooled(settings: Settings, *names: str) -> list[ProducerRecord]:
    """Events as they lie in the spool."""
    made = [record_of("lead-events", event(event_id=name)) for name in names]
    topic = f"{settings.topic_prefix}lead-events"
    return [ProducerRecord(topic, one.key or b"", one.value or b"", list(one.headers.items())) for one in made]


def tell(settings: Settings, number: int, events: int) -> None:
    produce(
        settings.kafka_bootstrap,
        f"{settings.topic_prefix}ingest-receipts",
        [record_of("ingest-receipts", receipt(number, events=events))],
    )


async def events_are(client: Client, **expected: int) -> bool:
    account = (await client.json("/v1/ledger"))["events"]
    assert {name: account[name] for name in expected} == expected
    return True


async def exported(client: Client, **expected: int) -> bool:
    series = await client.series()
    assert {kind: series.get(("funnel_unaccounted", (("kind", kind),))) for kind in expected} == expected
    return True


async def test_what_waits_in_the_spool_is_accounted_for_until_it_is_in_the_log(settings: Settings) -> None:
    waiting = {"accepted": 0, "spooled": 3, "missing": 0, "unaccounted": 0}
    arrived = {"accepted": 3, "spooled": 0, "missing": 0, "unaccounted": 0}
    async with running(settings) as client, spool_of(settings) as spool, kafka_of(settings) as kafka:
        await spool.put(spooled(settings, "a", "b", "c"))
        await eventually(lambda: events_are(client, answered=0, **waiting))
        tell(settings, 1, events=3)
        await eventually(lambda: events_are(client, answered=3, **waiting))
        await drained(settings, Drain(kafka, spool))
        await eventually(lambda: events_are(client, answered=3, **arrived))
        await eventually(lambda: exported(client, events=0, events_answered=0))


async def test_the_spool_is_read_once_however_many_topics_wait_in_it(settings: Settings) -> None:
    """It is largest, and Postgres busiest, when everybody looks at the ledger: while Kafka is away."""
    async with spool_of(settings) as spool:
        await spool.put(spooled(settings, "a", "b", "c"))
        topic = f"{settings.topic_prefix}lead-outcomes"
        await spool.put([ProducerRecord(topic, b"key", b"{}", []) for _ in range(2)])
    ((plan,),) = ask(settings, f"EXPLAIN (ANALYZE, FORMAT JSON) {QUERIES['spool']}")
    scans = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == "spool"]  # type: ignore[index]
    assert [node["Actual Loops"] for node in scans] == [1]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan and all below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


@pytest.mark.parametrize("told", [5, 0], ids=["told", "not told yet"])
async def test_rows_deleted_from_the_spool_are_unaccounted_for_ever(settings: Settings, told: int) -> None:
    async with running(settings) as client, spool_of(settings) as spool, kafka_of(settings) as kafka:
        await spool.put(spooled(settings, "a", "b", "c", "d", "e"))
        tell(settings, 1, events=told)
        await eventually(lambda: events_are(client, answered=told, spooled=5, missing=0, unaccounted=0))
        ask(settings, "DELETE FROM spool WHERE id IN (SELECT id FROM spool ORDER BY id LIMIT 2)")
        await eventually(lambda: events_are(client, spooled=3, missing=2, unaccounted=2))
        await eventually(lambda: exported(client, events=2, events_answered=2, outcomes=0))
        await drained(settings, Drain(kafka, spool))
        await eventually(lambda: events_are(client, spooled=0, accepted=3, missing=2, unaccounted=2))


async def test_what_is_drained_while_the_ledger_is_read_looks_like_no_loss(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deterministic: the spool is emptied after Postgres was asked and before the log is, and filled again after it."""
    async with AsyncExitStack() as stack:
        spool = await stack.enter_async_context(spool_of(settings))
        part = Drain(await stack.enter_async_context(kafka_of(settings)), spool)

        class Interrupted(Consumer):
            async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
                await drained(settings, part)
                found = await super().bounds(partitions)
                await spool.put(spooled(settings, *(secrets.token_hex(4) for _ in range(3))))
                return found

        monkeypatch.setattr(books, "Consumer", Interrupted)
        database = await Database.open(settings.postgres_dsn, schema="metrics", application_name="test")
        stack.push_async_callback(database.close)
        opened = Books(settings, database, SystemClock())
        stack.push_async_callback(opened.close)
        for look in range(3):
            account = (await opened.ledger()).events
            assert (account.accepted, account.spooled) == (3 * look, 3 if look else 0)
            assert (account.missing, account.unaccounted) == (0, 0)


async def test_an_outage_of_kafka_leaves_nothing_unaccounted(
    settings: Settings, broker: Mistreated, broker_server: KafkaServer
) -> None:
    settings = settings.model_copy(update={"kafka_bootstrap": broker_server.bootstrap})
    prefix = settings.topic_prefix
    await ensure_topics(broker_server.bootstrap, prefix=prefix, partitions=2, environment="embedded")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(running(settings))
        for witness in (SCORING, ROUTING):
            await stack.enter_async_context(witnessing(settings, witness))
        async with ingest.running(settings) as posting:
            await post(posting, "before")
            broker.kill()
            for number in range(10):
                await post(posting, f"during-{number}")
            assert rows(settings) == 20
            await broker.start()
            await eventually(lambda: balanced(client), RECOVERY_SECONDS)
            await eventually(lambda: rows(settings) == 0, RECOVERY_SECONDS)
            await post(posting, "after")
        await eventually(lambda: whole(client, 12), RECOVERY_SECONDS)


async def post(client: httpx.AsyncClient, name: str) -> None:
    for path, sent in (("/v1/events", an_event(event_id=name)), ("/v1/outcomes", an_outcome(event_id=name))):
        assert (await client.post(path, json=sent)).status_code == 202


async def balanced(client: Client) -> bool:
    """Whether the ledger can be read; when it can, nothing is unaccounted."""
    answer = await client.get("/v1/ledger")
    if answer.status_code != 200:
        return False
    ledger = answer.json()
    if any(part["unaccounted"] for part in ledger.values()):
        pytest.fail(f"unaccounted: {ledger}")
    return True


async def whole(client: Client, answered: int) -> bool:
    assert await balanced(client)
    ledger = await client.json("/v1/ledger")
    for part in ("events", "outcomes"):
        account = ledger[part]
        assert (account["answered"], account["applied"], account["in_flight"]) == (answered, answered, 0)
        assert account["spooled"] == 0
    return True
