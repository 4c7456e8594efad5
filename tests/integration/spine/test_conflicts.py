"""Transactions that meet: whatever Postgres undoes is redone, as if it had never been begun."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from funnel.clock import SystemClock
from funnel.envelope import Headers
from funnel.postgres import Database, Transaction
from funnel.spine.chunks import Chunk, decode
from funnel.spine.transaction import Result, apply
from tests.integration.spine.conftest import Desk, event, in_partition
from tests.support.eventually import eventually
from tests.support.toy import Toy, read, running


@dataclass(frozen=True)
class Nowhere:
    """A record that no broker holds: event `number` of one person for each number."""

    partition: int
    offset: int
    number: int
    topic: str = "in"
    timestamp: int = 0
    key: bytes | None = None

    @property
    def value(self) -> bytes | None:
        return event(self.number, person=f"p{self.number}").value

    @property
    def headers(self) -> Headers:
        return [*event(self.number).headers.items()]


def chunk_of(partition: int, *numbers: int) -> Chunk:
    """These events, from the first offset of the partition on, under the epoch of a row that nobody has taken."""
    records = [Nowhere(partition, offset, number) for offset, number in enumerate(numbers)]
    items, _ = decode("in", records, {"in": read})
    return Chunk(("in", partition), 0, 0, items, holes=0)


@pytest.fixture
async def database(desk: Desk) -> AsyncIterator[Database]:
    opened = await Database.open(desk.settings.postgres_dsn, schema="toy", application_name="test")
    yield opened
    await opened.close()


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
async def test_a_batch_that_met_another_transaction_is_redone(desk: Desk, state: str) -> None:
    """A trigger answers the first COMMIT as Postgres answers a serialization failure, a deadlock, a lock timeout."""
    await desk.query("CREATE SEQUENCE commits")
    await desk.query(
        "CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('toy.commits') = 1 THEN "
        f"RAISE EXCEPTION 'met another' USING ERRCODE = '{state}'; END IF; RETURN NULL; END $$"
    )
    await desk.query(
        "CREATE CONSTRAINT TRIGGER meet AFTER INSERT ON person DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION meet()"
    )
    desk.send([in_partition(event(n), 0) for n in range(3)])
    async with running(desk.settings, Toy()) as spine:
        await eventually(lambda: spine.cursors().get(("in", 0)))
        await desk.until(applied=3)
        published = await desk.published()
        assert spine.problems() == {}
    assert (await desk.query("SELECT last_value FROM commits"))[0]["last_value"] > 1
    assert await desk.totals() == {"ann": 3}
    assert [record.headers["ce_id"] for record in published] == [b"ann:1", b"ann:2", b"ann:3"]


async def test_of_two_that_read_the_same_records_under_one_epoch_one_moves_the_position(
    desk: Desk, database: Database
) -> None:
    """As two processes that were given one name do: they hold the same lease."""
    await desk.query("INSERT INTO position (topic, partition, first, next) VALUES ('in', 0, 0, 0)")
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def linger(tx: Transaction) -> None:
        inside.set()
        while not go_on.is_set():
            await tx.execute("SELECT 1")  # a session that says nothing would be ended
            await asyncio.sleep(0.02)

    chunk = chunk_of(0, 1, 2, 3)
    first = asyncio.create_task(apply(database, Toy(before_save=linger), [chunk], SystemClock(), notify=False))
    await inside.wait()
    second = asyncio.create_task(apply(database, Toy(), [chunk], SystemClock(), notify=False))
    await eventually(lambda: waiting(desk, 1))
    go_on.set()
    assert (await first).kept == (await second).fenced == frozenset({("in", 0)})
    assert await desk.counters() == {"applied": 3, "duplicates": 0, "quarantined": 0, "holes": 0, "skipped": 0}


async def test_batches_with_the_same_ids_in_another_order_do_not_deadlock(desk: Desk, database: Database) -> None:
    """Both wait in the middle of the inbox: with each in the order of its log they would hold what the other wants."""
    await desk.query("INSERT INTO position (topic, partition, next) VALUES ('in', 0, 0), ('in', 1, 0)")

    async def batch(partition: int, *numbers: int) -> Result:
        return await apply(database, Toy(), [chunk_of(partition, *numbers)], SystemClock(), notify=False)

    holder = await asyncpg.connect(desk.settings.postgres_dsn, server_settings={"search_path": "toy"})
    try:
        between = holder.transaction()
        await between.start()
        await holder.execute("INSERT INTO inbox VALUES ('test', 'e5', '')")
        one = asyncio.create_task(batch(0, 1, 5, 9))
        await eventually(lambda: waiting(desk, 1))
        other = asyncio.create_task(batch(1, 9, 1))
        await eventually(lambda: waiting(desk, 2))
        await between.rollback()
        results = await asyncio.gather(one, other, return_exceptions=True)
    finally:
        await holder.close()
    assert [isinstance(result, Result) for result in results] == [True, True], results
    assert (await desk.counters())["duplicates"] == 2


async def waiting(desk: Desk, sessions: int) -> bool:
    found = await desk.query(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return len(found) == sessions
