"""The outbox and its relay: everything is published, in order, and a doubt is settled by reading back."""

from __future__ import annotations

import asyncio

import asyncpg

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
