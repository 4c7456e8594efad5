"""What the simulator's database does is what PostgreSQL does: every scenario runs on both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from funnel.errors import Conflict, DatabaseAway
from funnel.postgres import Database, Transaction, load_queries
from tests.integration.simulator.conftest import Ground

QUERIES = load_queries("funnel.spine.sql")
LEASE = timedelta(seconds=3)
OUTBOX = ("topic", "key", "ce_id", "headers", "value")


async def begin(database: Database, *places: tuple[str, int]) -> None:
    """Position rows, taken by `me` under epoch 1 and started at offset 0."""
    async with database.transaction() as tx:
        await tx.execute(QUERIES["add_partitions"], [t for t, _ in places], [n for _, n in places])
        for topic, number in places:
            await take(tx, "me", topic, number, 0)
            await tx.execute(QUERIES["start_positions"], [topic], [number], [1], [0])


async def take(tx: Transaction, me: str, topic: str, number: int, epoch: int) -> Any:
    return await tx.fetch_value(QUERIES["take"], me, LEASE, topic, number, epoch)


async def advance(tx: Transaction, number: int, epoch: int, expected: int, after: int) -> list[int]:
    rows = await tx.fetch(
        QUERIES["advance"], ["in"], [number], [epoch], [expected], [after], ["id"], [0], LEASE, [after - expected]
    )
    return [row["partition"] for row in rows]


async def claim(tx: Transaction, *event_ids: str) -> list[str]:
    rows = await tx.fetch(
        QUERIES["claim_inbox"], ["s"] * len(event_ids), list(event_ids), [one.encode() for one in event_ids]
    )
    return sorted(row["event_id"] for row in rows)


async def positions(database: Database) -> list[tuple[Any, ...]]:
    """(partition, epoch, next) of the topic `in`."""
    rows = await database.fetch(QUERIES["held_positions"], ["in"] * 9, [0, 1, 2] * 3, [1] * 3 + [2] * 3 + [3] * 3)
    return sorted((row["partition"], row["epoch"], row["next"]) for row in rows)


async def put(tx: Transaction, *ce_ids: str) -> None:
    await tx.copy("outbox", OUTBOX, [("out", "k", one, b"", b"v") for one in ce_ids])


async def outbox(database: Database, me: str, epoch: int) -> Sequence[str]:
    return [row["ce_id"] for row in await database.fetch(QUERIES["next_outbox"], me, epoch, 100)]


async def until_waiting(task: asyncio.Task[Any]) -> None:
    """Give a statement time to come to where it waits."""
    await asyncio.wait([task], timeout=0.3)
    assert not task.done(), "it did not wait"


def test_a_position_moves_for_its_epoch_and_its_offset_only(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("in", 0), ("in", 1))
        async with database.transaction() as tx:
            assert await advance(tx, 0, 2, 0, 5) == []
            assert await advance(tx, 0, 1, 3, 5) == []
            assert await advance(tx, 0, 1, 0, 5) == [0]
            assert await advance(tx, 0, 1, 0, 5) == []
        assert await positions(database) == [(0, 1, 5), (1, 1, 0)]

    ground.run(scenario)


def test_an_offset_that_another_transaction_moves_is_waited_for_and_then_gone(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("in", 0))

        async def other() -> list[int]:
            async with database.transaction() as tx:
                return await advance(tx, 0, 1, 0, 7)

        async with database.transaction() as tx:
            assert await advance(tx, 0, 1, 0, 5) == [0]
            waiting = asyncio.create_task(other())
            await until_waiting(waiting)
        assert await waiting == []
        assert await positions(database) == [(0, 1, 5)]

    ground.run(scenario)


def test_an_event_is_new_once_and_again_after_a_rollback(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")

        async def other() -> list[str]:
            async with database.transaction() as tx:
                return await claim(tx, "a", "b", "c")

        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what raises is inside
            async with database.transaction() as tx:
                assert await claim(tx, "a", "b") == ["a", "b"]
                waiting = asyncio.create_task(other())
                await until_waiting(waiting)
                raise ZeroDivisionError
        assert await waiting == ["a", "b", "c"]
        async with database.transaction() as tx:
            assert await claim(tx, "c", "d") == ["d"]
            waiting = asyncio.create_task(other_claim(database, "d", "e"))
            await until_waiting(waiting)
        assert await waiting == ["e"]

    ground.run(scenario)


async def other_claim(database: Database, *event_ids: str) -> list[str]:
    async with database.transaction() as tx:
        return await claim(tx, *event_ids)


def test_a_lease_is_taken_once_under_each_epoch(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("in", 0))

        async def other() -> Any:
            async with database.transaction() as tx:
                return await take(tx, "you", "in", 0, 1)

        async with database.transaction() as tx:
            assert await take(tx, "me", "in", 0, 1) == 2
            waiting = asyncio.create_task(other())
            await until_waiting(waiting)
        assert await waiting is None
        rows = await database.fetch(QUERIES["overview"])
        assert [(row["owner"], row["epoch"], row["live"]) for row in rows] == [("me", 2, True)]
        await database.fetch(QUERIES["release"], "me")
        rows = await database.fetch(QUERIES["overview"])
        assert [(row["owner"], row["epoch"], row["live"]) for row in rows] == [(None, 2, False)]

    ground.run(scenario)


def test_renewing_passes_over_a_locked_row_and_a_short_wait_ends_in_a_conflict(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("in", 0), ("in", 1))
        async with database.transaction() as tx:
            await advance(tx, 0, 1, 0, 5)
            async with database.transaction() as other:
                await other.execute(QUERIES["renew"], "me", LEASE)
            with pytest.raises(Conflict):  # noqa: PT012 - what raises is inside
                async with database.transaction() as other:
                    await other.execute(QUERIES["short_lock_wait"])
                    await take(other, "you", "in", 0, 1)
        assert await positions(database) == [(0, 1, 5), (1, 1, 0)]

    ground.run(scenario)


def test_two_who_wait_for_each_other_are_a_conflict_for_one_of_them(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("in", 0), ("in", 1))
        both = asyncio.Barrier(2)

        async def lock(first: int, second: int) -> bool:
            try:
                async with database.transaction() as tx:
                    await take(tx, "you", "in", first, 1)
                    await both.wait()
                    await take(tx, "you", "in", second, 1)
            except Conflict:
                return False
            return True

        assert sorted(await asyncio.gather(lock(0, 1), lock(1, 0))) == [False, True]
        assert [epoch for _, epoch, _ in await positions(database)] == [2, 2]

    ground.run(scenario)


def test_the_outbox_is_given_in_order_and_only_to_whoever_has_the_lease(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("#outbox", 0))
        async with database.transaction() as early:
            await put(early, "1", "2")
            async with database.transaction() as late:
                await put(late, "3")
            assert await outbox(database, "me", 1) == ["3"], "a lower number that is not committed is not there"
        assert await outbox(database, "me", 1) == ["1", "2", "3"]
        assert await outbox(database, "you", 1) == []
        assert await outbox(database, "me", 2) == []
        await database.fetch(QUERIES["release"], "me")
        assert await outbox(database, "me", 1) == []

    ground.run(scenario)


def test_what_was_sent_is_forgotten_under_the_lease_only_and_positions_never_go_back(ground: Ground) -> None:
    async def forget(database: Database, epoch: int, ids: Sequence[int], after: int) -> int:
        rows = await database.fetch(QUERIES["forget_sent"], "me", epoch, LEASE, ids, ["out"], [0], [after])
        return int(rows[0]["count"])

    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("#outbox", 0))
        async with database.transaction() as tx:
            await put(tx, "1", "2", "3")
        ids = {row["ce_id"]: row["id"] for row in await database.fetch(QUERIES["next_outbox"], "me", 1, 9)}
        assert await forget(database, 2, [ids["1"]], 9) == 0
        assert await outbox(database, "me", 1) == ["1", "2", "3"]
        assert await forget(database, 1, [ids["1"], ids["3"]], 9) == 1
        assert await forget(database, 1, [], 4) == 1
        assert await outbox(database, "me", 1) == ["2"]
        assert [row["next"] for row in await database.fetch(QUERIES["relay_positions"])] == [9]
        found = await database.fetch(QUERIES["published_ids"], ["1", "2"])
        assert [row["id"] for row in found] == [ids["2"]]

    ground.run(scenario)


def test_numbers_drawn_by_a_transaction_that_failed_are_not_given_back(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("#outbox", 0))
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what raises is inside
            async with database.transaction() as tx:
                await put(tx, "lost", "lost")
                raise ZeroDivisionError
        async with database.transaction() as tx:
            await put(tx, "kept")
        rows = await database.fetch(QUERIES["next_outbox"], "me", 1, 9)
        assert [(row["id"], row["ce_id"]) for row in rows] == [(3, "kept")]

    ground.run(scenario)


def test_a_cut_connection_undoes_its_transaction_and_frees_its_rows(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("in", 0))
        with pytest.raises(DatabaseAway):  # noqa: PT012 - what raises is inside
            async with database.transaction() as tx:
                assert await advance(tx, 0, 1, 0, 5) == [0]
                await ground.cut()
                await advance(tx, 0, 1, 5, 6)
        async with database.transaction() as tx:
            assert await advance(tx, 0, 1, 0, 4) == [0]
        assert await positions(database) == [(0, 1, 4)]

    ground.run(scenario)


def test_whoever_idles_inside_a_transaction_is_ended_and_does_not_hold_up_others(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("in", 0))
        with pytest.raises(DatabaseAway):  # noqa: PT012 - what raises is inside
            async with database.transaction() as tx:
                assert await advance(tx, 0, 1, 0, 5) == [0]
                async with database.transaction() as other:
                    assert await advance(other, 0, 1, 0, 4) == [0]
                await advance(tx, 0, 1, 5, 6)
        assert await positions(database) == [(0, 1, 4)]

    ground.run(scenario)


def test_skipping_fences_whoever_reads(ground: Ground) -> None:
    async def scenario() -> None:
        database = ground.database("scoring")
        await begin(database, ("in", 0))
        assert (await database.fetch(QUERIES["skip_to"], "in", 0, 8))[0]["skipped"] == 8
        assert await database.fetch(QUERIES["skip_to"], "in", 0, 8) == []
        async with database.transaction() as tx:
            assert await advance(tx, 0, 1, 8, 9) == []
        assert await positions(database) == [(0, 2, 8)]

    ground.run(scenario)
