"""Transactions that meet on the real database, as those of several replicas do."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from funnel.contracts import LeadOutcome, LeadScore
from tests.integration.routing.conftest import OpenDesk
from tests.integration.routing.desk import (
    START,
    Desk,
    lead_id,
    messages,
    nurtured,
    outcome,
    score,
    shuffled,
    somebody_waits_for_a_lock,
    team,
)
from tests.support import eventually

BY_MAIL = {"identity": {"email": "1@example.com"}}


async def second_while_first_is_open(
    desk: Desk, first: LeadScore | LeadOutcome, second: LeadScore | LeadOutcome
) -> None:
    """Apply `second` against `first`: it begins, and has to wait, when `first` has written and not committed."""
    async with desk.database.transaction() as tx:
        await desk.work(tx, first)
        task = asyncio.create_task(desk.apply(second))
        await eventually(lambda: somebody_waits_for_a_lock(desk))
    await task


async def test_of_many_replicas_racing_for_the_last_slot_one_gets_it(opened: OpenDesk) -> None:
    desk = await opened(team(a=1))
    await asyncio.gather(*(desk.apply(score(number)) for number in range(12)))
    states = await desk.states()
    assert sorted(states.values(), key=str) == [("assigned", "a"), *[("held", None)] * 11]
    assert (await desk.rows("SELECT decisions FROM pool WHERE name = 'sales'"))[0]["decisions"] == 12
    await desk.check()


async def test_a_rep_in_two_pools_never_has_more_than_their_capacity(opened: OpenDesk) -> None:
    desk = await opened(team(a=3, b=5, c=2))
    large = {"employees": 500}
    work = [desk.apply(score(number, person=large if number % 2 else None)) for number in range(30)]
    await asyncio.gather(*shuffled(1, *work))
    rows = await desk.rows("SELECT id, open FROM rep ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [("a", 3), ("b", 5), ("c", 2)]
    await desk.check()


@pytest.mark.parametrize("versions", [(1, 2), (2, 1)])
async def test_one_lead_arriving_through_two_partitions_is_given_away_once(
    opened: OpenDesk, versions: tuple[int, int]
) -> None:
    desk = await opened(team(a=5, b=5))
    await second_while_first_is_open(desk, score(1, versions[0]), score(1, versions[1]))
    assert len(await desk.rows("SELECT 1 FROM assignment")) == 1
    assert (await desk.rows("SELECT score_version FROM lead"))[0]["score_version"] == 2
    await desk.check()


async def test_two_rejections_of_one_assignment_move_the_lead_once(opened: OpenDesk) -> None:
    desk = await opened(team(a=5, b=5))
    await desk.apply(score(1))
    await second_while_first_is_open(
        desk, outcome("one", "rejected", 1, epoch=1), outcome("two", "rejected", 1, epoch=1)
    )
    assert (await desk.states())[1] == ("assigned", "b")
    assert await desk.kinds(1) == ["assigned", "outcome.applied", "assigned", "outcome.stale"]
    await desk.check()


async def test_an_older_record_waits_for_a_newer_one_that_has_read_the_lead_and_changes_nothing(
    opened: OpenDesk,
) -> None:
    """Nothing but the lead itself is locked for them: its names are known, and no pool is touched."""
    desk = await opened(team(a=5))
    await desk.apply(nurtured(1))
    newer = messages([nurtured(1, 3, score=30)])
    async with desk.database.transaction() as tx:
        known = await desk.handler.load(tx, await desk.handler.lock(tx, newer))
        older = asyncio.create_task(desk.apply(nurtured(1, 2, score=20)))
        await eventually(lambda: waits_or_is_done(desk, older))
        assert not older.done()
        await desk.handler.save(tx, desk.handler.decide(known, newer, START))
    await older
    rows = await desk.rows("SELECT score_version, score FROM lead")
    assert [tuple(row.values()) for row in rows] == [(3, 30)]


async def waits_or_is_done(desk: Desk, task: asyncio.Task[None]) -> bool:
    return task.done() or await somebody_waits_for_a_lock(desk)


@pytest.mark.parametrize("names", [BY_MAIL, {"lead_id": lead_id(1)}], ids=["by mail", "by id"])
@pytest.mark.parametrize("outcome_first", [True, False])
async def test_an_outcome_and_its_lead_that_arrive_at_once_always_meet(
    opened: OpenDesk, outcome_first: bool, names: dict[str, Any]
) -> None:
    desk = await opened(team(a=5))
    reported, arriving = outcome("won", "won", **names), nurtured(1)
    pair = (reported, arriving) if outcome_first else (arriving, reported)
    await second_while_first_is_open(desk, *pair)
    assert await desk.states() == {1: ("closed", None)}
    assert not await desk.rows("SELECT 1 FROM waiting_outcome")
    assert (await desk.kinds(1)).count("outcome.applied") == 1
    await desk.check()


async def test_an_outcome_that_two_arriving_leads_could_be_meant_by_goes_to_one(opened: OpenDesk) -> None:
    desk = await opened(team(a=5))
    await desk.apply(outcome("won", "won", identity={"email": "1@example.com", "external_ids": {"crm": "2"}}))
    other = nurtured(2, identifiers=[{"kind": "external", "value": "crm:2"}])
    await second_while_first_is_open(desk, nurtured(1), other)
    assert sorted(state for state, _ in (await desk.states()).values()) == ["closed", "nurturing"]
    assert len(await desk.rows("SELECT 1 FROM decision WHERE kind = 'outcome.applied'")) == 1


async def test_the_releaser_does_not_wait_for_a_held_lead_that_another_transaction_has(opened: OpenDesk) -> None:
    desk = await opened(team())
    await desk.apply(score(1, score=99), score(2))
    await desk.set_capacity("a", 5)
    async with desk.database.transaction() as tx:
        await tx.execute("SELECT FROM lead WHERE lead_id = $1 FOR UPDATE", lead_id(1))
        assert await desk.releaser().release() == 1  # with no second try: one that waited met a conflict
    assert await desk.release() == 1
    assert {state for state, _ in (await desk.states()).values()} == {"assigned"}
    await desk.check()


async def test_whoever_holds_a_held_lead_that_a_release_skipped_gives_it_away(opened: OpenDesk) -> None:
    desk = await opened(team())
    await desk.apply(score(1))
    async with desk.database.transaction() as pool_holder:
        await pool_holder.execute("SELECT FROM pool ORDER BY name FOR UPDATE")
        touching = asyncio.create_task(desk.apply(score(1, 2)))  # has the lead, waits for the pool
        await eventually(lambda: somebody_waits_for_a_lock(desk))
        await pool_holder.execute("UPDATE rep SET capacity = 1 WHERE id = 'a'")
        skipped = await pool_holder.fetch("SELECT lead_id FROM lead WHERE state = 'held' FOR UPDATE SKIP LOCKED")
        assert skipped == []
    await touching
    assert (await desk.states())[1] == ("assigned", "a")
    await desk.check()


@pytest.mark.parametrize("seed", range(5))
async def test_everything_at_once_keeps_every_promise(opened: OpenDesk, seed: int) -> None:
    """Arrivals, rejections, ends, releases and changes of capacity from many replicas, in batches of any order."""
    desk = await opened(team(a=3, b=2, c=2))
    chance = random.Random(seed)
    types = ["accepted", "rejected", "lost", "won", "recycled", "opportunity.opened", "reopened"]

    async def replica(number: int) -> None:
        for step in range(8):
            leads = chance.sample(range(25), 4)
            values: list[LeadScore | LeadOutcome] = [
                score(lead, chance.randint(1, 9), person={"employees": 500 * (lead % 2)}) for lead in leads[:2]
            ]
            for lead in leads[2:]:
                name = {"lead_id": lead_id(lead)} if lead % 2 else {"identity": {"email": f"{lead}@example.com"}}
                values.append(outcome(f"o-{number}-{step}-{lead}", chance.choice(types), **name))
            await desk.apply(*shuffled(seed, *values))
            if chance.random() < 0.3:
                await desk.release()

    await asyncio.gather(*(replica(number) for number in range(8)))
    await desk.check()
    await desk.set_capacity("a", 100)
    await desk.set_capacity("b", 100)
    await desk.set_capacity("c", 100)
    await desk.release()
    await desk.check()
    held = await desk.rows("SELECT pool, excluded FROM lead WHERE state = 'held'")
    members = {"sales": {"a", "b"}, "big": {"b", "c"}}
    assert all(members[row["pool"]] <= set(row["excluded"]) for row in held)
