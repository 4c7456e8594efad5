"""The outbox and its relay: everything is published, in order, and a doubt is settled by reading back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg

from funnel.envelope import pack_headers
from funnel.kafka.producer import Acknowledged, ProducerRecord, PublishError
from funnel.postgres import Database
from funnel.runtime import Spine
from funnel.spine.relay import QUERIES, LeaseLost
from tests.integration.spine.conftest import Desk, event
from tests.support.eventually import eventually
from tests.support.kafka import Record, read_all
from tests.support.toy import Toy, running

PUT = (
    "INSERT INTO outbox (topic, key, ce_id, headers, value) VALUES ('out', 'k', $1::text, "
    "(SELECT headers FROM kept LIMIT 1), convert_to($1::text, 'UTF8')) RETURNING id"
)


async def with_headers(desk: Desk) -> None:
    """Publish one record the normal way and keep its packed headers for rows the tests write themselves."""
    await desk.query("CREATE TABLE kept (headers bytea)")
    await desk.query(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO toy.kept VALUES (OLD.headers); RETURN OLD; END'"
    )
    await desk.query("CREATE TRIGGER keep BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION keep()")
    desk.send([event(1)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=1)
        await desk.published()
    await desk.query("DROP TRIGGER keep ON outbox")


def values(records: list[Record]) -> list[bytes]:
    return [record.value or b"" for record in records]


async def test_a_row_that_commits_after_a_later_one_is_sent_all_the_same(desk: Desk) -> None:
    await with_headers(desk)
    async with running(desk.settings, Toy()):
        slow = await asyncpg.connect(desk.settings.postgres_dsn, server_settings={"search_path": "toy"})
        try:
            hold = slow.transaction()
            await hold.start()
            first = await slow.fetchval(PUT, "low id, late commit")
            (second,) = await desk.query(PUT, "high id, early commit")
            assert first < second["id"]
            await eventually(lambda: b"high id, early commit" in values(read_all_out(desk)))
            await hold.commit()
        finally:
            await slow.close()
        await eventually(lambda: b"low id, late commit" in values(read_all_out(desk)))
        assert values(await desk.published()).count(b"high id, early commit") == 1


def read_all_out(desk: Desk) -> list[Record]:
    return read_all(desk.settings.kafka_bootstrap, f"{desk.settings.topic_prefix}out")


async def test_a_crash_between_acknowledgement_and_delete_publishes_nothing_twice(desk: Desk) -> None:
    """The rows are put back as a database that lost the relay's last (asynchronous) commit would show them."""
    await desk.query("CREATE TABLE lost AS SELECT * FROM outbox")
    await desk.query(
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO toy.lost SELECT OLD.*; RETURN OLD; END'"
    )
    await desk.query("CREATE TRIGGER lose BEFORE DELETE ON outbox FOR EACH ROW EXECUTE FUNCTION lose()")
    desk.send([event(n, person=f"p{n % 9}") for n in range(200)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=200)
        assert len(await desk.published()) == 200
    await desk.query("DROP TRIGGER lose ON outbox")
    await desk.query("INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM lost")
    await desk.query("DELETE FROM relay_position")
    desk.send([event(n, person=f"p{n % 9}") for n in range(200, 220)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=220)
        published = await desk.published()
    assert len({r.headers["ce_id"] for r in published}) == len(published) == 220


async def test_only_the_holder_of_the_lease_publishes(desk: Desk) -> None:
    async with running(desk.replica("a"), Toy()) as a, running(desk.replica("b"), Toy()) as b:
        await eventually(lambda: a.holds("outbox") != b.holds("outbox"))
        desk.send([event(n, person=f"p{n % 9}") for n in range(300)])
        await desk.until(applied=300)
        published = await desk.published()
        assert a.holds("outbox") != b.holds("outbox")
    assert len(published) == len({r.headers["ce_id"] for r in published}) == 300


async def test_a_relay_that_lost_its_lease_deletes_nothing(desk: Desk) -> None:
    async with running(desk.settings, Toy()) as spine:
        await eventually(lambda: spine.holds("outbox"))
        await desk.query(
            "UPDATE position SET owner = 'other', epoch = epoch + 1, lease_until = now() + interval '1 hour' "
            "WHERE topic = '#outbox'"
        )
        desk.send([event(1)])
        await desk.until(applied=1)
        await eventually(lambda: not spine.holds("outbox"))
        assert await desk.query("SELECT 1 FROM outbox")
        await desk.query("UPDATE position SET lease_until = '-infinity' WHERE topic = '#outbox'")
        assert len(await desk.published()) == 1


async def test_records_of_one_key_are_published_in_commit_order(desk: Desk) -> None:
    async with running(desk.replica("a"), Toy()), running(desk.replica("b"), Toy()):
        for start in range(0, 500, 25):
            await asyncio.to_thread(desk.send, [event(n, person=f"p{n % 3}") for n in range(start, start + 25)])
        await desk.until(applied=500)
        published = await desk.published()
    for person in (b"p0", b"p1", b"p2"):
        versions = [int(r.headers["ce_id"].split(b":")[1]) for r in published if r.key == person]
        assert versions == sorted(versions)
        assert len(versions) == versions[-1]


# -- between sending and forgetting ------------------------------------------------------------------------------------

Answers = list[Acknowledged | PublishError]
Send = Callable[[Sequence[ProducerRecord]], Awaitable[Answers]]


def intercept(spine: Spine, send: Callable[[Send, Sequence[ProducerRecord]], Awaitable[Answers]]) -> None:
    """Let everything the relay publishes go through `send`, which is given the real `publish`."""
    assert spine.relay is not None
    producer = spine.relay._producer
    real = producer.publish
    producer.publish = lambda records: send(real, records)  # type: ignore[method-assign, assignment, return-value]


async def test_what_kafka_did_not_take_stays_in_the_outbox_and_is_sent_in_its_order(desk: Desk) -> None:
    refused: list[int] = []

    async def send(real: Send, records: Sequence[ProducerRecord]) -> Answers:
        if refused:
            return await real(records)
        refused.append(len(records) // 2 + 1)
        return [*await real(records[: len(records) // 2]), *[PublishError("not now")] * refused[0]][: len(records)]

    async with running(desk.settings, Toy()) as spine:
        intercept(spine, send)
        desk.send([event(n) for n in range(10)])
        await desk.until(applied=10)
        published = await desk.published()
    assert refused
    assert [record.headers["ce_id"] for record in published] == [b"ann:%d" % n for n in range(1, 11)]


async def test_what_is_stored_though_kafka_did_not_say_so_is_not_sent_again(desk: Desk) -> None:
    doubted: list[int] = []

    async def send(real: Send, records: Sequence[ProducerRecord]) -> Answers:
        answers = await real(records)
        if doubted:
            return answers
        doubted.append(len(answers))
        return [PublishError("no answer")] * len(answers)

    async with running(desk.settings, Toy()) as spine:
        intercept(spine, send)
        desk.send([event(n) for n in range(10)])
        await desk.until(applied=10)
        published = await desk.published()
    assert doubted
    assert [record.headers["ce_id"] for record in published] == [b"ann:%d" % n for n in range(1, 11)]


async def test_a_row_that_commits_while_a_later_one_is_on_its_way_is_sent_all_the_same(desk: Desk) -> None:
    slow = await asyncpg.connect(desk.settings.postgres_dsn, server_settings={"search_path": "toy"})
    committed = asyncio.Event()
    try:
        hold = slow.transaction()
        await hold.start()
        await put(slow, 1, b"low id, late commit")

        async def send(real: Send, records: Sequence[ProducerRecord]) -> Answers:
            answers = await real(records)
            if not committed.is_set():
                await hold.commit()
                committed.set()
            return answers

        async with running(desk.settings, Toy()) as spine:
            intercept(spine, send)
            async with asyncpg.create_pool(desk.settings.postgres_dsn, server_settings={"search_path": "toy"}) as pool:
                await put(pool, 2, b"high id, early commit")
            await asyncio.wait_for(committed.wait(), 30)
            published = await desk.published()
    finally:
        await slow.close()
    assert values(published) == [b"high id, early commit", b"low id, late commit"]


async def put(connection: asyncpg.Connection[Any] | asyncpg.Pool[Any], number: int, value: bytes) -> None:
    """A row of the outbox with this id; all have the same key."""
    await connection.execute(
        "INSERT INTO outbox (id, topic, key, ce_id, headers, value) OVERRIDING SYSTEM VALUE "
        "VALUES ($1, 'out', 'k', $2, $3, $4)",
        number,
        f"e{number}",
        pack_headers([("ce_id", b"e%d" % number)]),
        value,
    )


async def test_rows_are_sent_in_the_order_of_their_ids_wherever_they_lie_in_the_table(desk: Desk) -> None:
    connection = await asyncpg.connect(desk.settings.postgres_dsn, server_settings={"search_path": "toy"})
    try:
        for number in (5, 2, 4, 1, 3):  # as rows come to lie that take the place of deleted ones
            await put(connection, number, b"%d" % number)
    finally:
        await connection.close()
    async with running(desk.settings, Toy()):
        published = await desk.published()
    assert values(published) == [b"1", b"2", b"3", b"4", b"5"]


# -- without the lease -------------------------------------------------------------------------------------------------


async def test_a_relay_without_the_lease_is_given_nothing(desk: Desk) -> None:
    database = await Database.open(desk.settings.postgres_dsn, schema="toy", application_name="test")

    async def given(replica: str, epoch: int) -> int:
        return len(await database.fetch(QUERIES["next_outbox"], replica, epoch, 10))

    try:
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO position (topic, partition, owner, epoch) VALUES ('#outbox', 0, 'me', 7)")
            await tx.execute("UPDATE position SET lease_until = clock_timestamp() + interval '1 hour'")
            await tx.copy("outbox", ("topic", "key", "ce_id", "headers", "value"), [("out", "k", "e", b"", b"")])
        assert [await given("me", 7), await given("me", 6), await given("other", 7)] == [1, 0, 0]
        await database.fetch("UPDATE position SET lease_until = clock_timestamp()")
        assert await given("me", 7) == 0
    finally:
        await database.close()


async def test_a_relay_that_loses_its_lease_while_it_sends_forgets_nothing(desk: Desk) -> None:
    told = asyncio.Event()

    async def send(real: Send, records: Sequence[ProducerRecord]) -> Answers:
        answers = await real(records)
        await desk.query(
            "UPDATE position SET owner = 'heir', epoch = epoch + 1, lease_until = now() + interval '1 hour' "
            "WHERE topic = '#outbox'"
        )
        return answers

    async with running(desk.settings, Toy()) as spine:
        relay = spine.relay
        assert relay is not None
        forget = relay._forget

        async def forget_and_tell(*args: Any) -> None:
            try:
                await forget(*args)
            except LeaseLost:
                told.set()
                raise

        relay._forget = forget_and_tell  # type: ignore[method-assign, assignment]
        intercept(spine, send)
        desk.send([event(1)])
        await asyncio.wait_for(told.wait(), 30)
        assert len(await desk.query("SELECT 1 FROM outbox")) == 1
        assert await desk.query("SELECT 1 FROM relay_position WHERE next > 0") == []
    await desk.query("UPDATE position SET owner = NULL, lease_until = '-infinity' WHERE topic = '#outbox'")
    async with running(desk.replica("heir"), Toy()):
        assert len(await desk.published()) == 1
