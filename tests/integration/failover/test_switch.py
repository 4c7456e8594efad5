"""A synchronous standby is promoted: nothing is lost, and everything goes on by itself."""

from __future__ import annotations

import asyncio

import pytest

from chaos.cluster.postgres_pair import postgres_pair
from funnel.errors import TimelineChanged, UnsafeSettings
from funnel.postgres import Database
from funnel.postgres.checks import assert_durable
from tests.integration.failover.conftest import Site


async def test_the_services_follow_the_primary_by_themselves_and_lose_nothing(safe: Site) -> None:
    await safe.leads(range(5))
    await asyncio.to_thread(safe.pair.primary.kill)
    posting = asyncio.create_task(safe.leads(range(5, 10)))  # spooling is not possible, Kafka is there
    await asyncio.to_thread(safe.pair.promote)
    await posting
    await safe.until_active(10)
    await safe.until_at_rest(10)

    await asyncio.to_thread(safe.pair.rejoin)
    await asyncio.to_thread(safe.pair.primary.read_only)  # demoted, and still answering: SQLSTATE 25006
    posting = asyncio.create_task(safe.leads(range(10, 15)))
    await asyncio.to_thread(safe.pair.promote)
    await posting
    await safe.until_active(15)
    await safe.until_at_rest(15)
    await safe.until_ready()
    assert {len(safe.query("SELECT DISTINCT name FROM scoring.timeline UNION SELECT name FROM routing.timeline"))} == {
        1
    }


async def test_who_starts_beside_an_old_primary_that_nobody_ended_goes_to_the_new_one() -> None:
    with postgres_pair(synchronous=False) as pair:
        staying = await Database.open(pair.dsn, schema="public", application_name="test")
        await asyncio.to_thread(pair.promote)
        database = await Database.open(pair.dsn, schema="public", application_name="test")
        assert (await database.fetch("SELECT inet_server_port() AS port"))[0]["port"] == pair.primary.port
        again = await Database.open(pair.dsn, schema="public", application_name="test", timeline=database.timeline)
        assert again.timeline == database.timeline != staying.timeline
        for one in (staying, database, again):
            await one.close()


async def test_a_database_leaves_loudly_when_the_server_changes_its_timeline() -> None:
    with postgres_pair(synchronous=True) as pair:
        database = await Database.open(pair.dsn, schema="public", application_name="test")
        following = Database.lazy(pair.dsn, schema="public", application_name="test")
        await following.fetch("SELECT 1")
        await assert_durable(database, waive_replication=False)
        await asyncio.to_thread(pair.primary.freeze)
        await asyncio.to_thread(pair.promote)
        before = database.timeline
        await database.close()
        with pytest.raises(TimelineChanged, match=r"/00000002 and was on .*/00000001"):
            await database.fetch("SELECT 1")
        assert database.timeline == before
        await following.close()
        assert await following.fetch("SELECT 1")
        with pytest.raises(UnsafeSettings, match="no synchronous standby"):
            await assert_durable(following, waive_replication=False)
        await following.close()
