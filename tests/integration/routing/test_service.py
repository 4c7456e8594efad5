"""The service as a whole: topics in, topics out, and its HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from funnel.postgres import Database
from funnel.settings import Settings
from services.routing.domain.rules import RulesError
from services.routing.settings import DEFAULT
from tests.integration.routing.desk import lead_id, nurtured, outcome, score, team
from tests.integration.routing.service import Routing, running
from tests.support.eventually import eventually

LEADS = 120


async def test_a_lead_goes_from_a_score_to_a_rep_and_the_way_is_explained(settings: Settings) -> None:
    async with running(settings, team(a=5, b=5)) as routing:
        await routing.send_scores(score(1, score=87, grade="A"))
        (assigned,) = await routing.until_assignments(1)
        assert (assigned.status, assigned.rep.id, assigned.score, assigned.epoch) == ("assigned", "a", 87, 1)
        why = await routing.get(f"/v1/leads/{lead_id(1)}/why")
        assert why["explanation"] == "With a, from pool sales by the rule 'everyone'."
        assert why["assignments"][0]["assignment_id"] == assigned.assignment_id
        (decision,) = why["decisions"]
        assert (decision["kind"], decision["number"], decision["event_id"]) == ("assigned", 1, f"{lead_id(1)}:1")
        assert [(one["rep"], one["skipped"]) for one in decision["candidates"]] == [("a", None), ("b", None)]
        assert decision["config_version"] == assigned.config_version


async def test_without_any_rep_leads_are_held_and_the_first_rep_gets_them(settings: Settings) -> None:
    async with running(settings) as routing:
        await routing.send_scores(score(1), score(2))
        held = await routing.until_decision(kind="held", lead_id=lead_id(2))
        assert (held.reason, held.state, held.pool) == ("no_reps", "held", "sales")
        assert [one["lead_id"] for one in (await routing.get("/v1/held"))["held"]] == [lead_id(1), lead_id(2)]
        why = await routing.get(f"/v1/leads/{lead_id(1)}/why")
        assert why["explanation"] == "Held in pool sales: the pool has no reps."
        assert why["held"]["reason_now"] == "no_reps"

        added = await routing.http.post("/v1/reps", json={"id": "sato", "name": "Sato", "capacity": 1})
        assert (added.status_code, added.json()["pools"]) == (201, [{"pool": "sales", "weight": 1}])
        (first,) = await routing.until_assignments(1)
        assert (first.lead_id, first.rep.id) == (lead_id(1), "sato")

        changed = await routing.http.patch("/v1/reps/sato", json={"capacity": 9})
        assert changed.json()["capacity"] == 9
        await routing.until_assignments(2)
        released = await routing.until_decision(kind="released", lead_id=lead_id(2))
        assert released.state == "assigned"
        assert (await routing.get("/v1/held"))["held"] == []
        (pool,) = (await routing.get("/v1/pools"))["pools"]
        assert (pool["decisions"], pool["held"], pool["members"][0]["open"]) == (4, 0, 2)


async def test_a_rep_who_is_away_gets_nothing_until_back(settings: Settings) -> None:
    async with running(settings, team(a=5)) as routing:
        await routing.http.patch("/v1/reps/a", json={"active": False})
        await routing.send_scores(score(1))
        assert (await routing.until_decision(kind="held")).reason == "all_at_capacity"  # b is active, with capacity 0
        await routing.http.patch("/v1/reps/a", json={"active": True})
        (assigned,) = await routing.until_assignments(1)
        assert assigned.rep.id == "a"


async def test_outcomes_move_a_lead_from_rep_to_rep_and_to_its_end(settings: Settings) -> None:
    async with running(settings, team(a=5, b=5)) as routing:
        await routing.send_scores(score(1))
        (first,) = await routing.until_assignments(1)
        await routing.send_outcomes(outcome("r", "rejected", 1, epoch=1, reason="wrong_region"))
        records = await routing.until_assignments(3)
        assert [(one.epoch, one.status, one.rep.id) for one in records] == [
            (1, "assigned", "a"),
            (1, "revoked", "a"),
            (2, "assigned", "b"),
        ]
        assert records[2].previous_assignment_id == first.assignment_id
        await routing.send_outcomes(outcome("late", "accepted", 1, epoch=1))
        stale = await routing.until_decision(kind="outcome.stale")
        assert (stale.reason, stale.epoch, stale.state) == ("stale_epoch", 2, "assigned")
        await routing.send_outcomes(outcome("w", "won", 1, amount={"value": "500", "currency": "JPY"}))
        closed = (await routing.until_assignments(4))[-1]
        assert (closed.status, closed.epoch, closed.why) == ("closed", 2, "won: because")
        versions = [one.version for one in await routing.assignments()]
        versions += [one.version or 0 for one in await routing.decisions()]
        assert sorted(versions) == list(range(1, len(versions) + 1))


async def test_a_sales_tool_may_write_bare_bodies_to_the_topic(settings: Settings) -> None:
    async with running(settings, team(a=5)) as routing:
        await routing.send_bodies(
            b'{"type": "won", "identity": {"email": "1@EXAMPLE.com"}, "unknown": 1}',
            b'{"type": "won"}',
            b"\xff not JSON",
        )
        waiting = await routing.until_decision(kind="outcome.waiting")
        assert waiting.lead_id is None
        assert waiting.outcome is not None
        assert waiting.outcome.event_id.startswith("lead-outcomes/")
        await routing.send_scores(nurtured(1))
        applied = await routing.until_decision(kind="outcome.applied")
        assert (applied.lead_id, applied.state, applied.stage) == (lead_id(1), "closed", "won")
        assert [row["n"] for row in await rows(settings, "SELECT count(*) AS n FROM quarantine")] == [2]


async def test_a_lead_that_is_not_qualified_or_not_known_is_answered_for(settings: Settings) -> None:
    async with running(settings) as routing:
        await routing.send_scores(nurtured(1, score=30))

        async def seen() -> bool:
            return (await routing.http.get(f"/v1/leads/{lead_id(1)}/why")).status_code == 200

        await eventually(seen)
        why = await routing.get(f"/v1/leads/{lead_id(1)}/why")
        assert why["explanation"] == "Not qualified yet: its stage is engaged, its score 30."
        unknown = await routing.http.get(f"/v1/leads/{lead_id(2)}/why")
        assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:funnel:problem:lead-unknown")
        assert (await routing.http.get("/v1/leads/not-a-uuid/why")).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"id": "a", "name": "Again", "capacity": 1, "pools": [{"pool": "sales"}]}, 409, None),
        ({"id": "x", "name": "X", "capacity": 1}, 422, "/pools"),
        ({"id": "x", "name": "X", "capacity": 1, "pools": [{"pool": "sails"}]}, 422, "/pools/0/pool"),
        ({"id": "x", "name": "X", "capacity": -1, "pools": [{"pool": "sales"}]}, 422, "/capacity"),
        ({"id": "x,y", "name": "X", "capacity": 1, "pools": [{"pool": "sales"}]}, 422, "/id"),
        ({"id": "x", "name": "X", "capacity": 1, "weight": 3}, 422, "/weight"),
    ],
)
async def test_a_rep_that_cannot_be_added_is_refused_by_field(
    settings: Settings, body: dict[str, object], status: int, pointer: str | None
) -> None:
    async with running(settings, team(a=1)) as routing:
        answer = await routing.http.post("/v1/reps", json=body)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        pointers = [one.get("pointer") for one in answer.json().get("errors", [])]
        assert pointers == ([pointer] if pointer else [])
        assert (await routing.http.patch("/v1/reps/nobody", json={"capacity": 1})).status_code == 404
        assert [one["id"] for one in (await routing.get("/v1/reps"))["reps"]] == ["a", "b", "c"]


async def test_a_broken_routing_file_stops_the_start_with_its_place(settings: Settings) -> None:
    with pytest.raises(RulesError, match=r"routing.yaml, line \d+: rules\[1\].pool: there is no pool 'sails'"):
        async with running(settings, team().replace("pool: sales}", "pool: sails}")):
            pass


async def test_held_leads_and_waiting_outcomes_are_told_to_prometheus(settings: Settings) -> None:
    async with running(settings) as routing:
        await routing.send_scores(score(1))
        await routing.send_outcomes(outcome("w", "won", 77))

        async def told() -> bool:
            text = (await routing.http.get("/metrics")).text
            return (
                'funnel_held_leads{pool="sales",reason="no_reps"} 1.0' in text and "funnel_waiting_outcomes 1.0" in text
            )

        await eventually(told)


async def test_two_replicas_share_the_work_and_give_each_lead_away_once(settings: Settings) -> None:
    rules = team(a=40, b=20, c=30)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(running(settings, rules, "one"))
        await stack.enter_async_context(running(settings, None, "two"))
        for begin in range(0, LEADS, 10):
            numbers = range(begin, begin + 10)
            await one.send_scores(*(score(n, person={"employees": 500 * (n % 2)}) for n in numbers))
            await one.send_outcomes(
                *(outcome(f"o-{n}", ["rejected", "lost", "won"][n % 3], n) for n in numbers if n % 4)
            )
        await until_settled(one, LEADS)
        await no_unpublished(settings)
        await check_topic_equals_table(one)
        assert not await rows(settings, "SELECT id FROM rep WHERE open > capacity")


async def test_killed_at_any_moment_every_lead_is_given_away_once(settings: Settings, tmp_path: Path) -> None:
    """kill -9 of the process again and again while leads arrive."""
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "routing.yaml").write_text(team(a=LEADS, b=LEADS, c=LEADS), encoding="utf-8")
    process = start(settings, tmp_path / "log")
    try:
        async with running(settings.model_copy(update={"routing_port": 0}), None, "observer") as outside:
            pass  # declares the pools; sending and reading need no replica
        for begin in range(0, LEADS, 20):
            numbers = range(begin, begin + 20)
            await outside.send_scores(*(score(n, version) for n in numbers for version in (1, 2)))
            await outside.send_outcomes(*(outcome(f"r-{n}", "rejected", n, epoch=1) for n in numbers if n % 5 == 0))
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = start(settings, tmp_path / "log")
        await until_settled(outside, LEADS)
        await no_unpublished(settings)
        await check_topic_equals_table(outside)
    finally:
        process.kill()
        process.wait()


async def test_the_packaged_file_is_read_where_the_home_has_none(settings: Settings) -> None:
    assert DEFAULT.exists()
    async with running(settings) as routing:
        assert [one["name"] for one in (await routing.get("/v1/pools"))["pools"]] == ["sales"]


def start(settings: Settings, log: Path) -> subprocess.Popen[bytes]:
    """The service as a process of its own."""
    values = {
        f"FUNNEL_{name.upper()}": str(value)
        for name, value in settings.model_dump(exclude={"replica"}, exclude_none=True).items()
    }
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, "-m", "services.routing"], env=os.environ | values, stderr=file)


async def rows(settings: Settings, sql: str) -> list[dict[str, Any]]:
    database = await Database.open(settings.postgres_dsn, schema="routing", application_name="test", size=1)
    try:
        async with database.transaction() as tx:
            return [dict(row) for row in await tx.fetch(sql)]
    finally:
        await database.close()


async def until_settled(routing: Routing, leads: int) -> None:
    """Wait until every record of scoring and every outcome was taken in."""

    async def settled() -> bool:
        records = len(await routing.raw("lead-scores")) + len(await routing.raw("lead-outcomes"))
        (done,) = await rows(routing.settings, "SELECT sum(applied + duplicates + quarantined)::int AS n FROM position")
        (known,) = await rows(routing.settings, "SELECT count(*) AS n FROM lead WHERE state <> 'unknown'")
        return bool(done["n"] == records and known["n"] == leads)

    await eventually(settled, 90)


async def no_unpublished(settings: Settings) -> None:
    async def empty() -> bool:
        return not await rows(settings, "SELECT 1 FROM outbox LIMIT 1")

    await eventually(empty, 90)


async def check_topic_equals_table(routing: Routing) -> None:
    """Each lead's records are in order, each once by its id, and tell what the tables hold."""
    told: dict[str, list[tuple[int, str]]] = {}
    seen: Counter[str] = Counter()
    bodies: dict[str, bytes] = {}
    for record in await routing.raw("lead-assignments"):
        identity = record.headers["ce_id"].decode()
        seen[identity] += 1
        body = record.value or b""
        assert bodies.setdefault(identity, body) == body
        if seen[identity] == 1:
            value = msgspec.json.decode(body)
            told.setdefault(value["lead_id"], []).append((value["epoch"], value["status"]))
    kept: dict[str, list[tuple[int, str]]] = {}
    sql = "SELECT lead_id::text AS lead_id, epoch, status FROM assignment ORDER BY lead_id, epoch"
    for row in await rows(routing.settings, sql):
        ended = [] if row["status"] == "active" else [(row["epoch"], row["status"])]
        kept.setdefault(str(row["lead_id"]), []).extend([(row["epoch"], "assigned"), *ended])
    assert told == kept
    numbers = await rows(
        routing.settings,
        "SELECT pool, count(*) AS n, max(number) AS last FROM decision WHERE number IS NOT NULL GROUP BY pool",
    )
    assert all(row["n"] == row["last"] for row in numbers)
