"""The spool on a real Postgres, drained to a real Kafka: every record once, byte for byte, or with a reason twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import psycopg
import pytest
from psycopg import sql

from funnel.errors import DatabaseAway, UnsafeSettings
from funnel.kafka.producer import Acknowledged, ProducerRecord
from funnel.postgres import Database
from funnel.settings import Settings
from services.ingest import storage
from services.ingest.domain import limits
from services.ingest.spool import BATCH_BYTES, CLAIM, Spool, SpoolAway
from services.ingest.storage import Drain
from services.ingest.store import spool as store
from tests.support import eventually
from tests.support.kafka import Record, read_all
from tests.support.spools import ask, claims_run_out, drained, kafka_of, rows, spool_of

ODD_BYTES = bytes(range(256)) + "山田 太郎 😀".encode()


@pytest.fixture
def settings(kafka_bootstrap: str, database_dsn: str, topics: str) -> Settings:
    return Settings(
        kafka_bootstrap=kafka_bootstrap, postgres_dsn=database_dsn, topic_prefix=topics, waive_replication=True
    )


@pytest.fixture
async def spool(settings: Settings) -> AsyncIterator[Spool]:
    async with spool_of(settings) as opened:
        yield opened


def record(settings: Settings, name: str, value: bytes = b"{}", topic: str = "lead-events") -> ProducerRecord:
    headers = [("ce_id", name.encode()), ("odd", ODD_BYTES), ("odd", b"")]
    return ProducerRecord(settings.topic_prefix + topic, name.encode(), value, headers)


def records(settings: Settings, count: int) -> list[ProducerRecord]:
    return [record(settings, f"e-{number}") for number in range(count)]


def published(settings: Settings) -> list[Record]:
    return read_all(settings.kafka_bootstrap, f"{settings.topic_prefix}lead-events")


def times(settings: Settings) -> Counter[int]:
    """How many records are on the topic how often."""
    return Counter(Counter(one.headers["ce_id"] for one in published(settings)).values())


async def test_what_is_published_from_the_spool_is_what_was_put_in_byte_for_byte(
    settings: Settings, spool: Spool
) -> None:
    await spool.put([record(settings, "a", ODD_BYTES), record(settings, "b", b"")])
    assert list((await spool.claim(10)).values()) == [record(settings, "a", ODD_BYTES), record(settings, "b", b"")]
    claims_run_out(settings)
    async with kafka_of(settings) as kafka:
        await drained(settings, Drain(kafka, spool))
    found = {one.headers["ce_id"]: one for one in published(settings)}
    assert found[b"a"].value == ODD_BYTES
    assert (found[b"a"].key, found[b"b"].value) == (b"a", b"")


async def test_it_survives_the_process_and_is_drained_by_any_other(settings: Settings) -> None:
    async with spool_of(settings, "gone") as spool:
        await spool.put(records(settings, 3))
    async with spool_of(settings, "next") as spool, kafka_of(settings) as kafka:
        await drained(settings, Drain(kafka, spool))
    assert times(settings) == {1: 3}


async def test_many_drains_share_the_work_and_nothing_is_published_twice(settings: Settings, spool: Spool) -> None:
    await spool.put(records(settings, 3000))
    async with AsyncExitStack() as stack:
        kafkas = [await stack.enter_async_context(kafka_of(settings)) for _ in range(3)]
        spools = [await stack.enter_async_context(spool_of(settings, name)) for name in ("a", "b", "c")]
        drains = [Drain(*parts) for parts in zip(kafkas, spools, strict=True)]
        await drained(settings, *drains)
    assert times(settings) == {1: 3000}
    assert ask(settings, "SELECT sum(spooled), sum(drained) FROM spool_account") == [(3000, 3000)]
    assert len(ask(settings, "SELECT FROM spool_account WHERE drained > 0")) > 1


async def test_what_one_has_in_hand_no_other_gets(settings: Settings, spool: Spool) -> None:
    await spool.put(records(settings, 30))
    async with spool_of(settings, "other") as other:
        mine, theirs = await asyncio.gather(spool.claim(10), other.claim(10))
        assert len(mine) == len(theirs) == 10
        assert not mine.keys() & theirs.keys()
        await spool.release(list(theirs))
        assert not (await spool.claim(100)).keys() & theirs.keys()
        await other.release(list(theirs))
        assert (await spool.claim(100)).keys() == theirs.keys()


async def test_who_claims_while_another_does_gets_other_rows(settings: Settings, spool: Spool) -> None:
    await spool.put(records(settings, 30))
    database = Database.lazy(settings.postgres_dsn, schema="ingest", application_name="other")
    try:
        async with database.transaction() as tx:
            theirs = await store.claim(tx, "other", CLAIM, 10, BATCH_BYTES, 0)
            mine = await spool.claim(10)  # theirs is not committed
            assert len(mine) == len(theirs) == 10
            assert not mine.keys() & theirs.keys()
    finally:
        await database.close()


async def test_a_drain_killed_before_it_could_take_rows_out_leaves_repeats_of_the_same_bytes(
    settings: Settings, spool: Spool
) -> None:
    await spool.put([record(settings, "a", ODD_BYTES), record(settings, "b")])
    async with spool_of(settings, "killed") as killed, kafka_of(settings) as kafka:
        claimed = await killed.claim(1)
        assert [type(result) for result in await kafka.publish(list(claimed.values()))] == [Acknowledged]
        await drained(settings, Drain(kafka, spool), left=1)
        assert times(settings) == {1: 2}
        claims_run_out(settings)
        await drained(settings, Drain(kafka, spool))
    first, second = [one for one in published(settings) if one.headers["ce_id"] == b"a"]
    assert (first.key, first.value, first.headers, first.partition) == (
        second.key,
        second.value,
        second.headers,
        second.partition,
    )
    assert times(settings) == {1: 1, 2: 1}


async def test_taking_out_twice_counts_once(settings: Settings, spool: Spool) -> None:
    await spool.put(records(settings, 5))
    claimed = list(await spool.claim(3))
    for _ in range(2):
        await spool.forget(claimed)
    assert ask(settings, "SELECT spooled, drained FROM spool_account") == [(5, 3)]
    assert rows(settings) == 2


async def test_a_claim_is_bounded_in_bytes_but_never_empty(settings: Settings, spool: Spool) -> None:
    large = b"x" * 700_000
    await spool.put([record(settings, f"e-{number}", large) for number in range(10)])
    assert len(await spool.claim(500)) == 6
    assert len(await spool.claim(500)) == 4


async def test_requests_at_the_same_time_share_a_few_transactions(settings: Settings, spool: Spool) -> None:
    await asyncio.gather(*(spool.put([one]) for one in records(settings, 200)))
    assert ask(settings, "SELECT count(*), count(DISTINCT xmin::text) < 20 FROM spool") == [(200, True)]
    assert len(ask(settings, "SELECT FROM pg_stat_activity WHERE application_name = 'a'")) <= 2


async def test_waiting_tells_how_many_rows_there_are_and_how_old_the_oldest_is(
    settings: Settings, spool: Spool
) -> None:
    waiting = await spool.waiting()
    assert (waiting.rows, waiting.seconds) == (0, 0.0)
    await spool.put([*records(settings, 2), record(settings, "o", topic="lead-outcomes")])
    ask(settings, "UPDATE spool SET at = at - interval '1 h' WHERE id = 1")
    waiting = await spool.waiting()
    assert (waiting.rows, round(waiting.seconds, -2)) == (3, 3600)
    await spool.forget(list(await spool.claim(10)))
    assert (await spool.waiting()).rows == 0


@pytest.mark.parametrize("unsafe", ["synchronous_commit = off", "synchronous_commit = local"])
async def test_a_postgres_that_may_forget_is_given_nothing(settings: Settings, spool: Spool, unsafe: str) -> None:
    """Asked in the transaction itself: it does not matter when somebody changed the setting."""
    await spool.check()
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET {}").format(name, sql.SQL(unsafe)))
    async with spool_of(settings, "later") as later:
        with pytest.raises(SpoolAway, match="synchronous_commit"):
            await later.put(records(settings, 1))
    assert rows(settings) == 0


async def test_a_postgres_without_the_tables_is_known_before_it_is_needed(settings: Settings, spool: Spool) -> None:
    ask(settings, "DROP TABLE spool_account")
    with pytest.raises(UnsafeSettings, match=r"no table spool_account .* `funnel migrate`"):
        await spool.check()


async def test_a_spool_that_cannot_be_used_is_away_whatever_postgres_says(settings: Settings, spool: Spool) -> None:
    """What only says that something here is broken ends no process: Kafka may be well."""
    await spool.put(records(settings, 1))
    ask(settings, "ALTER TABLE spool RENAME TO elsewhere")
    for use in (spool.claim(1), spool.forget([1]), spool.release([1]), spool.waiting()):
        with pytest.raises(DatabaseAway, match="UndefinedTableError"):
            await use
    with pytest.raises(SpoolAway, match="UndefinedTableError"):
        await spool.put(records(settings, 1))
    ask(settings, "ALTER TABLE elsewhere RENAME TO spool")
    assert len(await spool.claim(10)) == 1


async def test_the_drain_outlives_a_migration_that_changes_what_its_statements_return(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "RETRY_SECONDS", 0.01)
    async with kafka_of(settings) as kafka:
        drain = Drain(kafka, spool)
        await spool.put(records(settings, 3))
        await drained(settings, drain)
        ask(settings, "ALTER TABLE spool ALTER COLUMN topic TYPE varchar(100)")
        await spool.put([record(settings, "after")])
        await drained(settings, drain)
    assert times(settings) == {1: 4}


async def test_one_server_alone_is_given_nothing_unless_that_is_accepted(settings: Settings) -> None:
    async with spool_of(settings.model_copy(update={"waive_replication": False})) as spool:
        with pytest.raises(SpoolAway, match="no synchronous standby"):
            await spool.put(records(settings, 1))
    assert rows(settings) == 0


async def test_what_nobody_waits_for_any_more_is_not_put_in_later(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SPOOL_SECONDS_MAX", 0.3)
    with psycopg.connect(settings.postgres_dsn) as connection:
        connection.execute("LOCK TABLE ingest.spool")
        puts = [asyncio.create_task(spool.put([one])) for one in records(settings, 5)]
        results: Sequence[object] = await asyncio.gather(*puts, return_exceptions=True)
        assert {type(result) for result in results} == {SpoolAway}
    await eventually(lambda: no_statement_waits(settings))
    assert rows(settings) == 0
    monkeypatch.undo()
    await spool.put([record(settings, "after")])
    assert rows(settings) == 1


def no_statement_waits(settings: Settings) -> bool:
    return not ask(settings, "SELECT FROM pg_stat_activity WHERE application_name = 'a' AND state <> 'idle'")


async def test_a_postgres_that_is_away_is_said_to_be_away(settings: Settings) -> None:
    nobody = settings.model_copy(update={"postgres_dsn": "postgresql://nobody@127.0.0.1:1/nothing"})
    async with spool_of(nobody) as spool:
        with pytest.raises(SpoolAway, match="cannot be reached"):
            await spool.put(records(settings, 1))
