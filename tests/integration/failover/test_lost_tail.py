"""An asynchronous standby is promoted without the last transactions, whose records are on the topics already."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from tests.integration.failover.conftest import SLOW, Site, told_outcomes
from tests.support.eventually import eventually

KEPT, LOST, LATER = range(6), range(6, 14), range(14, 16)


async def test_what_was_published_first_wins_over_what_the_promoted_standby_does_not_know(lossy: Site) -> None:
    await lossy.leads(KEPT)
    await lossy.until_active(len(KEPT))
    await lossy.until_at_rest(len(KEPT))
    await asyncio.to_thread(lossy.pair.catch_up)
    await asyncio.to_thread(lossy.pair.cut)

    before = await lose(lossy)
    published = {topic: lossy.records(topic) for topic in ("lead-scores", "lead-assignments", "lead-decisions")}
    await asyncio.to_thread(lossy.pair.primary.kill)
    await asyncio.to_thread(lossy.pair.promote)

    await until_refused(lossy, "scoring")
    await until_refused(lossy, "routing")
    await lossy.leads(LATER[:1])  # the door stays open
    await adopt(lossy)
    await lossy.until_ready()
    await lossy.leads(LATER[1:])

    after = await lossy.until_active(len(before) + len(LATER))
    ledger = await lossy.until_at_rest(len(KEPT) + len(LOST) + len(LATER))
    assert ledger["leads"]["closed"] == 1
    for person, assignment in before.items():
        assert (after[person]["rep"], after[person]["assignment_id"]) == (
            assignment["rep"],
            assignment["assignment_id"],
        )
    check_topics(lossy, published)
    check_tables(lossy)


async def lose(site: Site) -> dict[str, dict[str, Any]]:
    """New leads, a rejection, an order and a call: all published, none on the standby. The active assignments."""
    first = await site.until_active(len(KEPT))
    await site.leads(LOST)
    new = await site.until_active(len(KEPT) + len(LOST))
    rejected, sold, called = first["p0@example.com"], first["p1@example.com"], new["p6@example.com"]
    # Without an epoch: read a second time, it would take the lead from its next rep too.
    await site.post("/v1/outcomes", outcome("no", "rejected", rejected, reason="too_small"))
    await site.post("/v1/outcomes", outcome("yes", "won", sold, amount={"value": "1200000", "currency": "JPY"}))
    await site.post("/v1/outcomes", outcome("call", "accepted", called))
    await site.until_told(3)
    return await site.until_active(len(KEPT) + len(LOST) - 1)


def outcome(event_id: str, kind: str, assignment: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"event_id": event_id, "type": kind, "lead_id": assignment["lead_id"], **fields}


async def until_refused(site: Site, service: str) -> None:
    """Until `funnel status` says that the service waits for a person, and for what."""

    def refused() -> bool:
        process = site.stack.status()[service]
        return not process["ready"] and "`funnel reconcile` adopts them" in process["detail"]

    await eventually(refused, SLOW)


async def adopt(site: Site) -> None:
    """Rehearse twice, adopt once, and see that nothing is left to adopt."""
    first, second = [await reconcile(site, "--dry-run") for _ in "12"]
    assert first == second
    assert first["routing"]["adopted"]["assignments"] == len(LOST) + 3  # revoked, assigned again, closed
    assert first["routing"]["adopted"]["decisions"] == 3
    assert first["scoring"]["adopted"]["leads"] == len(LOST)
    assert await reconcile(site) == first
    again = await reconcile(site)
    assert not any(one["adopted"] for one in again.values())


async def reconcile(site: Site, *arguments: str) -> dict[str, Any]:
    done = await asyncio.to_thread(site.stack.funnel, "reconcile", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def check_topics(site: Site, published: dict[str, list[Any]]) -> None:
    """Nothing was said under an old id with other bytes, and each outcome was told of once."""
    for topic, old in published.items():
        first = {one.headers["ce_id"]: one.value for one in old}
        for one in site.records(topic):
            assert first.setdefault(one.headers["ce_id"], one.value) == one.value
    assert Counter(told_outcomes(site)) == {"no": 1, "yes": 1, "call": 1}
    repeats = Counter(one.headers["ce_id"] for one in site.records("lead-assignments"))
    assert set(repeats.values()) == {1}


def check_tables(site: Site) -> None:
    """The assignments are those on the topic, loads add up, numbers have no gap, and every event had one effect."""
    topic = {(one["assignment_id"], one["epoch"], one["rep"]["id"]) for one in site.values("lead-assignments")}
    assert set(site.query("SELECT assignment_id::text, epoch, rep FROM routing.assignment")) == topic
    assert (
        site.query(
            "SELECT id FROM routing.rep WHERE open <> (SELECT count(*) FROM routing.assignment "
            "WHERE rep = id AND status = 'active')"
        )
        == []
    )
    (numbers,) = site.query("SELECT count(*), max(number), (SELECT decisions FROM routing.pool) FROM routing.decision WHERE pool IS NOT NULL")  # fmt: skip # noqa: E501
    assert numbers[0] == numbers[1] == numbers[2]
    assert site.query(
        "SELECT status, won_at IS NOT NULL FROM routing.assignment JOIN routing.deal USING (lead_id)"
    ) == [("closed", True)]
    touches = site.query("SELECT event_id, count(*) FROM scoring.touch GROUP BY event_id")
    assert dict(touches) == {f"e-{number}": 1 for number in (*KEPT, *LOST, *LATER)}
