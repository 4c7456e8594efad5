"""One transaction after another on the real tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from funnel.errors import BadData
from funnel.postgres import Row, Transaction
from funnel.spine import outbox
from services.routing import store
from services.routing.domain.assign import Candidate, Chosen, Skipped, choose
from services.routing.domain.rules import parse_rules
from tests.integration.routing.conftest import OpenDesk
from tests.integration.routing.desk import lead_id, nurtured, outcome, score, team


async def test_leads_are_shared_by_weight_and_the_rotation_survives_restarts_and_changes(opened: OpenDesk) -> None:
    owners = ""
    for number in range(8):
        desk = await opened(team(a=100, b=100))  # as at the start of a process: the file is declared again
        await desk.apply(score(number))
        owners += str((await desk.states())[number][1])
    assert owners == "aabaaaba"
    await desk.check()


async def test_a_rejected_lead_goes_to_another_rep_under_the_next_epoch(opened: OpenDesk) -> None:
    desk = await opened(team(a=5, b=5))
    await desk.apply(score(1))
    await desk.apply(outcome("r", "rejected", 1))
    rows = await desk.rows("SELECT epoch, rep, status, why FROM assignment ORDER BY epoch")
    assert [tuple(row.values()) for row in rows] == [(1, "a", "revoked", "rejected: because"), (2, "b", "active", None)]
    await desk.apply(outcome("late", "rejected", 1, epoch=1))
    assert await desk.kinds(1) == ["assigned", "outcome.applied", "assigned", "outcome.stale"]
    assert (await desk.states())[1] == ("assigned", "b")
    await desk.check()


async def test_a_held_lead_is_released_when_capacity_grows_and_when_a_rep_comes(opened: OpenDesk) -> None:
    desk = await opened(team())
    await desk.apply(score(1), score(2))
    assert await desk.release() == 0
    await desk.set_capacity("b", 1)
    assert await desk.release() == 1
    async with desk.database.transaction() as tx:
        await tx.execute("INSERT INTO rep (id, name, email, capacity) VALUES ('new', 'New', '', 1)")
        await tx.execute("INSERT INTO pool_member (pool, rep, weight, declared) VALUES ('sales', 'new', 1, false)")
    assert await desk.release() == 1
    assert await desk.states() == {1: ("assigned", "b"), 2: ("assigned", "new")}
    assert await desk.kinds(1) == ["held", "released"]
    await desk.check()


async def test_an_end_gives_the_slot_to_the_best_held_lead_even_of_another_pool(opened: OpenDesk) -> None:
    desk = await opened(team(b=1))
    large = {"employees": 500}
    await desk.apply(score(1))
    await desk.apply(score(2, score=70), score(3, score=90, person=large), score(4, score=80, person=large))
    await desk.apply(outcome("w", "lost", 1))
    assert (await desk.states())[3] == ("assigned", "b")
    await desk.check()


async def test_more_held_leads_than_one_batch_takes_are_released_all_in_order(
    opened: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.routing.handlers.HELD_PER_BATCH_MAX", 7)
    desk = await opened(team())
    await desk.apply(*(score(number, score=50 + number % 3) for number in range(40)))
    await desk.set_capacity("a", 100)
    assert await desk.release() == 40
    rows = await desk.rows("SELECT lead_id FROM decision WHERE kind = 'released' ORDER BY number")
    assert [row["lead_id"].int for row in rows] == sorted(range(40), key=lambda n: (-(n % 3), n))
    await desk.check()


async def test_a_lead_excluded_from_the_free_rep_does_not_block_those_behind_it(opened: OpenDesk) -> None:
    desk = await opened(team(a=1))
    await desk.apply(score(1, score=99))
    await desk.apply(outcome("r", "rejected", 1), score(2))
    assert await desk.states() == {1: ("held", None), 2: ("assigned", "a")}
    assert (await desk.rows("SELECT held_reason FROM lead WHERE state = 'held'"))[0]["held_reason"] == "all_at_capacity"
    await desk.check()


async def test_an_outcome_waits_for_its_lead_and_is_applied_once(opened: OpenDesk) -> None:
    desk = await opened(team(a=5))
    by_mail: dict[str, Any] = {"identity": {"email": "1@EXAMPLE.com", "external_ids": {"crm": "42"}}}
    await desk.apply(outcome("early", "accepted", **by_mail), outcome("by-id", "appointment.set", 2))
    assert len(await desk.rows("SELECT 1 FROM waiting_outcome")) == 2
    await desk.apply(score(1), nurtured(2))
    assert not await desk.rows("SELECT 1 FROM waiting_outcome")
    rows = await desk.rows("SELECT lead_id, stage FROM lead ORDER BY lead_id")
    assert [(row["lead_id"].int, row["stage"]) for row in rows] == [(1, "sal"), (2, "sql")]
    await desk.apply(score(1, 2), nurtured(2, 2))
    assert await desk.kinds(1) == ["outcome.applied", "assigned"]
    await desk.check()


async def test_history_of_a_lead_ends_closed_and_creates_no_assignment(opened: OpenDesk) -> None:
    desk = await opened(team(a=5))
    identifiers = [{"kind": "external", "value": "olist:7"}]
    sold = outcome("w", "won", identity={"external_ids": {"olist": "7"}}, mode="history", amount=None)
    await desk.apply(sold)
    await desk.apply(nurtured(7, identifiers=identifiers, mode="history"))
    assert await desk.states() == {7: ("closed", None)}
    assert not await desk.rows("SELECT 1 FROM assignment")
    rows = await desk.rows("SELECT kind, mode, pool, number FROM decision ORDER BY kind")
    assert [tuple(row.values()) for row in rows] == [
        ("outcome.applied", "history", None, None),
        ("outcome.waiting", "history", None, None),
    ]


async def test_deals_are_kept_and_told_with_the_end_of_the_assignment(opened: OpenDesk) -> None:
    desk = await opened(team(a=5))
    await desk.apply(score(1))
    amount = {"value": "1200000.50", "currency": "JPY"}
    await desk.apply(outcome("o", "opportunity.opened", 1, deal_id="d-1", amount=amount, deal_stage="offer"))
    await desk.apply(outcome("w", "won", 1, deal_id="d-1"))
    await desk.apply(outcome("again", "won", 1, deal_id="d-1"))
    assert await desk.kinds(1) == ["assigned", "outcome.applied", "outcome.applied", "outcome.repeat"]
    (row,) = await desk.rows(
        "SELECT convert_from(value, 'UTF8')::jsonb AS value FROM outbox WHERE ce_id LIKE '%:closed'"
    )
    assert row["value"]["deals"] == [
        {"deal_id": "d-1", "status": "won", "deal_stage": "offer", "amount": amount},
    ]
    await desk.check()


async def test_each_kept_decision_gives_its_owner_again(opened: OpenDesk) -> None:
    desk = await opened(team(a=3, b=2))
    for number in range(7):
        await desk.apply(score(number))
    await desk.apply(outcome("r", "rejected", 0), outcome("l", "lost", 1))
    rows = await desk.rows("SELECT rep, candidates FROM decision WHERE kind IN ('assigned', 'released', 'held')")
    assert len(rows) == 10  # seven arrivals, two releases, and the rejected lead held
    for row in rows:
        again = choose([_candidate(one) for one in row["candidates"]])
        assert row["rep"] == (again.rep if isinstance(again, Chosen) else None)


async def test_a_member_taken_out_of_the_file_gets_no_more_leads_but_added_ones_stay(opened: OpenDesk) -> None:
    desk = await opened(team(a=5, b=5))
    await desk.rows("INSERT INTO rep (id, name, email, capacity) VALUES ('x', 'X', '', 9) RETURNING id")
    await desk.rows("INSERT INTO pool_member VALUES ('sales', 'x', 1, 0, false) RETURNING rep")
    smaller = parse_rules(team(a=5, b=5).replace("{rep: a, weight: 3}, ", ""), "routing.yaml")
    async with desk.database.transaction() as tx:
        await store.declare(tx, smaller)
    rows = await desk.rows("SELECT pool, rep FROM pool_member ORDER BY pool, rep")
    assert [tuple(row.values()) for row in rows] == [("big", "b"), ("big", "c"), ("sales", "b"), ("sales", "x")]


async def test_the_number_of_statements_does_not_depend_on_the_size_of_the_batch(opened: OpenDesk) -> None:
    desk = await opened(team(a=50, b=3, c=2))
    counts: list[int] = []
    for first, size in ((0, 2), (1000, 300)):
        known = range(first, first + size)
        await desk.apply(*(score(number) for number in known), *_reports(known, "early-"))
        async with desk.database.transaction() as tx:
            counted = _Counting(tx)
            batch = [*(score(number, 2) for number in known), *_reports(known, "late-"), score(first + 900)]
            await outbox.put(tx, await desk.handle(counted, *batch))  # type: ignore[arg-type]
        counts.append(counted.count)
    assert counts[0] == counts[1] <= 20
    await desk.check()


async def test_a_batch_of_unqualified_leads_takes_few_statements_and_no_pool(opened: OpenDesk) -> None:
    desk = await opened(team(a=5))
    async with desk.database.transaction() as tx, desk.database.transaction() as other:
        await other.execute("SELECT FROM pool FOR UPDATE")
        counts = []
        for version in (1, 2):
            counted = _Counting(tx)
            await desk.handle(counted, *(nurtured(number, version) for number in range(50)))  # type: ignore[arg-type]
            counts.append(counted.count)
    assert counts == [5, 4]


async def test_the_tables_refuse_what_the_promise_forbids(opened: OpenDesk) -> None:
    desk = await opened(team(a=5))
    await desk.apply(score(1))
    second = (
        "INSERT INTO assignment (assignment_id, lead_id, epoch, rep, pool, status, assigned_at) "
        "VALUES (gen_random_uuid(), $1, 2, 'b', 'sales', 'active', now()) RETURNING 1"
    )
    same_epoch = (
        "INSERT INTO assignment (assignment_id, lead_id, epoch, rep, pool, status, assigned_at, ended_at) "
        "VALUES (gen_random_uuid(), $1, 1, 'b', 'sales', 'revoked', now(), now()) RETURNING 1"
    )
    for statement, args in [
        (second, (lead_id(1),)),
        (same_epoch, (lead_id(1),)),
        ("UPDATE decision SET number = 1 WHERE number = 2 RETURNING 1", ()),
        ("UPDATE rep SET open = -1 RETURNING 1", ()),
        ("UPDATE lead SET rep = NULL RETURNING 1", ()),
        ("UPDATE lead SET state = 'held', rep = NULL RETURNING 1", ()),
    ]:
        await desk.apply(score(2))
        with pytest.raises(BadData):
            await desk.rows(statement, *args)


def _candidate(kept: dict[str, Any]) -> Candidate:
    return Candidate(**{**kept, "skipped": Skipped(kept["skipped"]) if kept["skipped"] else None})


def _reports(numbers: Sequence[int], prefix: str) -> list[Any]:
    types = ["accepted", "rejected", "lost", "won", "opportunity.opened"]
    reports = [outcome(f"{prefix}{n}", types[n % 5], n) for n in numbers]
    return [*reports, outcome(f"{prefix}unknown-{numbers[0]}", "won", identity={"email": f"{prefix}@example.com"})]


class _Counting:
    """A transaction that counts its statements."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.count = 0

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        self.count += 1
        return await self._tx.fetch(sql, *args)

    async def execute(self, sql: str, *args: object) -> str:
        self.count += 1
        return await self._tx.execute(sql, *args)
