"""Several replicas on one database: sharing, handing over, taking over, and what a frozen one can not do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import asyncpg

from funnel.postgres import Database, Transaction
from funnel.runtime import Spine, spine
from funnel.settings import Settings
from funnel.spine.leases import LeaseKeeper
from funnel.spine.sharing import LeaseRow
from tests.integration.spine.conftest import PARTITIONS, Desk, event, in_partition
from tests.support.eventually import eventually
from tests.support.toy import Toy, crash, running


@asynccontextmanager
async def doomed(settings: Settings, handler: Toy) -> AsyncIterator[tuple[Spine, list[asyncio.Task[None]]]]:
    """A replica whose tasks the test may end without any clean-up: its leases stay as a dead process leaves them."""
    stop = asyncio.Event()
    async with spine(settings, handler) as opened:
        tasks = [asyncio.create_task(worker.run(stop), name=worker.name) for worker in opened.workers]
        try:
            yield opened, tasks
        finally:
            stop.set()
            await crash(tasks)


async def owns_all(desk: Desk, replica: str) -> bool:
    return (await desk.owners()).get(replica) == PARTITIONS


async def test_two_replicas_share_the_partitions_and_every_event_has_its_effect_once(desk: Desk) -> None:
    async with running(desk.replica("a"), Toy()), running(desk.replica("b"), Toy()):
        await eventually(lambda: shared(desk))
        for start in range(0, 600, 50):
            desk.send([event(n, person=f"p{n % 11}") for n in range(start, start + 50)])
        await desk.until(applied=600, duplicates=0)
        published = await desk.published()
    assert sum((await desk.totals()).values()) == 600
    assert len({r.headers["ce_id"] for r in published}) == len(published) == 600


async def shared(desk: Desk) -> bool:
    owners = await desk.owners()
    return len(owners) == 2 and sum(owners.values()) == PARTITIONS


async def test_replicas_that_come_and_go_under_load_neither_lose_nor_double(desk: Desk) -> None:
    """A storm: replicas start, stop and are cut off without clean-up while one person is on every partition."""

    async def load() -> None:
        for start in range(0, 1200, 40):
            batch = [in_partition(event(n, person=f"p{n % 5}"), n % PARTITIONS) for n in range(start, start + 40)]
            await asyncio.to_thread(desk.send, batch)

    loading = asyncio.create_task(load())
    async with running(desk.replica("steady"), Toy()):
        while not loading.done():
            async with running(desk.replica("polite"), Toy()):
                await eventually(lambda: shared(desk))
            async with doomed(desk.replica("rude"), Toy()) as (_, tasks):
                await eventually(lambda: shared(desk))
                await crash(tasks)
        await loading
        await desk.until(applied=1200, duplicates=0)
        published = await desk.published()
    assert sum((await desk.totals()).values()) == 1200
    assert len({r.headers["ce_id"] for r in published}) == 1200


async def test_a_graceful_stop_hands_over_without_waiting_for_the_lease(desk: Desk) -> None:
    async with running(desk.replica("b"), Toy()):
        async with running(desk.replica("a"), Toy()):
            await eventually(lambda: shared(desk))
        rows = await desk.query("SELECT 1 FROM position WHERE owner = 'a'")
        assert rows == []
        await eventually(lambda: owns_all(desk, "b"))


async def test_one_started_under_the_name_of_a_killed_one_goes_on_at_once_and_fences_it(desk: Desk) -> None:
    async with doomed(desk.replica("a"), Toy()) as (killed, tasks):
        await eventually(lambda: owns_all(desk, "a"))
        await crash(tasks)
        await desk.query("UPDATE position SET lease_until = now() + interval '1 hour' WHERE owner = 'a'")
        desk.send([in_partition(event(n), n % PARTITIONS) for n in range(9)])
        async with running(desk.replica("a"), Toy()):
            await desk.until(applied=9)
            for row in await desk.query("SELECT topic, partition, epoch FROM position"):
                assert row["epoch"] > killed.keeper.held[row["topic"], row["partition"]]


async def test_one_person_on_two_partitions_and_two_replicas_is_counted_exactly(desk: Desk) -> None:
    async with running(desk.replica("a"), Toy()), running(desk.replica("b"), Toy()):
        await eventually(lambda: shared(desk))
        desk.send([in_partition(event(n, person="same"), n % PARTITIONS) for n in range(300)])
        await desk.until(applied=300)
    assert await desk.totals() == {"same": 300}


async def test_an_owner_frozen_inside_its_transaction_is_taken_over_and_its_work_thrown_away(desk: Desk) -> None:
    frozen, thaw = asyncio.Event(), asyncio.Event()

    async def freeze(_: Transaction) -> None:
        frozen.set()
        await thaw.wait()

    desk.send([in_partition(event(n, person="same"), 0) for n in range(10)])
    async with doomed(desk.replica("zombie"), Toy(before_save=freeze)) as (old, tasks):
        await asyncio.wait_for(frozen.wait(), 30)
        keeper = next(task for task in tasks if task.get_name() == "leases")
        await crash([keeper])  # nothing of the process runs any more, but its session still holds the locks
        async with running(desk.replica("heir"), Toy()):
            await desk.until(applied=10)
            thaw.set()
            await eventually(lambda: ("in", 0) not in old.cursors())
            desk.send([in_partition(event(n, person="same"), 0) for n in range(10, 15)])
            await desk.until(applied=15, duplicates=0)
            published = await desk.published()
    assert await desk.totals() == {"same": 15}
    assert len(published) == 15


async def test_an_owner_that_wakes_after_its_lease_is_fenced_by_the_epoch(desk: Desk) -> None:
    """It still believes that it holds the partition; only the compare-and-set can tell."""
    desk.send([in_partition(event(n, person="same"), 0) for n in range(5)])
    async with doomed(desk.replica("zombie"), Toy()) as (old, tasks):
        await desk.until(applied=5)
        await crash([task for task in tasks if task.get_name() == "leases"])
        await desk.query(
            "UPDATE position SET owner = 'heir', epoch = epoch + 1, lease_until = now() + interval '1 hour'"
        )
        desk.send([in_partition(event(n, person="same"), 0) for n in range(5, 9)])
        await eventually(lambda: ("in", 0) not in old.cursors())
    assert (await desk.counters())["applied"] == 5
    await desk.query("UPDATE position SET owner = NULL, lease_until = '-infinity'")
    async with running(desk.replica("two"), Toy()):
        await desk.until(applied=9, duplicates=0)
    assert await desk.totals() == {"same": 9}


async def test_a_lease_is_taken_by_whoever_was_faster(desk: Desk) -> None:
    database = await Database.open(desk.settings.postgres_dsn, schema="toy", application_name="test")
    try:
        fast, slow = LeaseKeeper(database, "fast"), LeaseKeeper(database, "slow")
        await fast.add([("in", 0)])
        seen = LeaseRow("in", 0, None, 0, False)
        assert await fast._take(seen) == 1
        assert await slow._take(seen) is None
        assert await slow._take(replace(seen, owner="fast", epoch=1)) == 2  # an epoch of its own: it fences the other
    finally:
        await database.close()
    assert await desk.owners() == {"slow": 1}


async def test_connections_cut_at_any_moment_neither_lose_nor_double(desk: Desk) -> None:
    async def cut() -> None:
        connection = await asyncpg.connect(desk.settings.postgres_dsn)
        try:
            for _ in range(15):
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                await asyncio.sleep(0.1)  # a rhythm of faults, not a wait for a result
        finally:
            await connection.close()

    async with running(desk.settings, Toy()):
        cutting = asyncio.create_task(cut())
        for start in range(0, 2000, 100):
            batch = [event(n, person=f"p{n % 13}") for n in range(start, start + 100)]
            await asyncio.to_thread(desk.send, batch)
        await cutting
        await desk.until(applied=2000, duplicates=0)
        published = await desk.published()
    assert sum((await desk.totals()).values()) == 2000
    assert len({r.headers["ce_id"] for r in published}) == 2000


async def test_deadlocks_are_redone_not_lost(desk: Desk) -> None:
    """Another session takes the same two rows in the other order, again and again."""

    async def collide(stop: asyncio.Event) -> int:
        met = 0
        connection = await asyncpg.connect(desk.settings.postgres_dsn, server_settings={"search_path": "toy"})
        try:
            while not stop.is_set():
                try:
                    async with connection.transaction():
                        await connection.execute("SELECT FROM person WHERE id = 'b' FOR UPDATE")
                        await connection.execute("SELECT FROM person WHERE id = 'a' FOR UPDATE")
                except asyncpg.DeadlockDetectedError:
                    met += 1
        finally:
            await connection.close()
        return met

    stop = asyncio.Event()
    async with running(desk.settings, Toy()):
        colliding = asyncio.create_task(collide(stop))
        desk.send([event(n, person="ab"[n % 2]) for n in range(2000)])
        await desk.until(applied=2000)
        stop.set()
        await colliding
    assert await desk.totals() == {"a": 1000, "b": 1000}


async def test_a_replica_with_nothing_to_do_is_ready(desk: Desk) -> None:
    """Four replicas for three partitions: one of them reads nothing, and of the others only one loop does."""
    async with (
        running(desk.replica("a"), Toy()) as a,
        running(desk.replica("b"), Toy()) as b,
        running(desk.replica("c"), Toy()) as c,
        running(desk.replica("d"), Toy()) as d,
    ):
        for replica in (a, b, c, d):
            await eventually(partial(is_ready, replica))


async def is_ready(replica: Spine) -> bool:
    return await replica.ready() == {}
