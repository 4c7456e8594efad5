"""Whatever arrives, in whatever batches: the promise holds, and the same inputs give the same owners."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.routing.domain.assign import Chosen, choose
from services.routing.domain.lead import Outcome, ScoreSeen
from services.routing.domain.lead_state import Report, State
from services.routing.domain.records import DecisionRecord, Kind
from services.routing.wire import published
from tests.unit.routing.given import World, at, outcome, pool, rep, score, unqualified

LEADS = st.integers(0, 5)
POOLS = st.sampled_from(["sales", "big"])


@st.composite
def inputs(draw: st.DrawFn) -> ScoreSeen | Outcome:
    """A record of scoring or an outcome; versions and times of qualification rise so that some are news."""
    lead = draw(LEADS)
    number = draw(st.integers(1, 12))
    if draw(st.booleans()):
        make = draw(st.sampled_from([score, score, unqualified]))
        fields: dict[str, Any] = {"live": draw(st.integers(0, 4)) > 0, "score": draw(st.integers(50, 53))}
        if make is score:
            fields |= {"qualified_at": at(draw(st.integers(0, 3)) * 400), "pool": draw(POOLS)}
        if draw(st.booleans()):
            fields["names"] = (f"email:{lead}@example.com", f"external:crm:{lead}")
        seen: ScoreSeen = make(lead, number, **fields)
        return seen
    fields = {
        "event_id": f"o-{draw(st.integers(0, 10**9))}",
        "occurred_at": at(draw(st.integers(0, 1500))),
        "live": draw(st.integers(0, 4)) > 0,
        "epoch": draw(st.sampled_from([None, None, 1, 2, 3])),
        "rep_id": draw(st.sampled_from([None, "a", "b"])),
        "deal_id": draw(st.sampled_from([None, "d-1", "d-2"])),
    }
    if draw(st.booleans()):
        return outcome(draw(st.sampled_from(Report)), lead, **fields)
    name = draw(st.sampled_from([f"email:{lead}@example.com", f"external:crm:{lead}"]))
    return outcome(draw(st.sampled_from(Report)), names=(name,), **fields)


CHANGES = st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans())
STEPS = st.lists(st.one_of(st.lists(inputs(), min_size=1, max_size=6), CHANGES), max_size=15)


def world() -> World:
    return World(
        [pool(("a", 3), ("b", 1)), pool("b", "c", name="big")],
        [rep("a", 2), rep("b", 1), rep("c", 1, active=False)],
    )


def play(steps: list[Any]) -> World:
    """Every step, checked after each: no lead with two owners, loads that add up, gapless numbers and versions."""
    played = world()
    for minute, step in enumerate(steps):
        if isinstance(step, tuple):
            name, capacity, active = step
            played.change(name, capacity=capacity, active=active)
            played.release(now=at(minute))
        else:
            unique = {(one.cause.source, one.cause.event_id): one for one in step}
            played.apply(*unique.values(), now=at(minute))
    return played


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_the_promise_holds_whatever_arrives(steps: list[Any]) -> None:
    played = play(steps)
    for lead in played.leads.values():
        if lead.state is State.HELD:
            assert lead.pool
            free = [m.rep for m in played.pools[lead.pool].members if played.reps[m.rep].free]
            assert set(free) <= set(lead.excluded), "a lead is held although somebody can take it"


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_the_same_inputs_give_the_same_records_byte_for_byte(steps: list[Any]) -> None:
    first, second = ([msgspec.json.encode(published(one.records, "v1", {})) for one in play(steps).all] for _ in "12")
    assert first == second


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_every_owner_can_be_computed_again_from_the_kept_decision(steps: list[Any]) -> None:
    played = play(steps)
    for record in (record for one in played.all for record in one.records):
        if not isinstance(record, DecisionRecord) or record.kind not in (Kind.ASSIGNED, Kind.RELEASED, Kind.HELD):
            continue
        again = choose(record.candidates, record.rep if record.reason == "former_owner" else None)
        assert record.rep == (again.rep if isinstance(again, Chosen) else None)
