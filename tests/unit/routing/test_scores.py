"""What records of scoring do."""

from __future__ import annotations

from services.routing.domain.lead_state import Stage, State
from tests.unit.routing.given import (
    World,
    assignments,
    at,
    decision,
    lead_id,
    outcome,
    pool,
    rep,
    score,
    unqualified,
)


def test_a_lead_that_is_not_qualified_stays_with_marketing() -> None:
    world = World([pool("a")], [rep("a")])
    changes = world.apply(unqualified(1))
    assert changes.records == ()
    assert (world.lead(1).state, world.lead(1).stage) == (State.NURTURING, Stage.ENGAGED)


def test_a_qualified_lead_gets_one_rep() -> None:
    world = World([pool("a")], [rep("a")])
    changes = world.apply(score(1))
    assert assignments(changes) == [(lead_id(1), 1, "a", "active")]
    assert world.lead(1).state is State.ASSIGNED


def test_leads_are_shared_by_weight() -> None:
    world = World([pool(("a", 3), ("b", 1))], [rep("a"), rep("b")])
    owners = ""
    for number in range(8):
        world.apply(score(number))
        owners += str(world.owner(number))
    assert owners == "aabaaaba"


def test_a_qualified_lead_that_nobody_can_take_is_held_with_a_reason() -> None:
    world = World([pool("a")], [rep("a", 0)])
    changes = world.apply(score(1), now=at(7))
    assert world.kinds(changes) == ["held"]
    assert (world.lead(1).held_reason, world.lead(1).held_since) == ("all_at_capacity", at(7))
    assert (decision(changes).number, decision(changes).reason) == (1, "all_at_capacity")


def test_a_held_lead_is_released_to_a_rep_who_can_have_more() -> None:
    world = World([pool("a")], [rep("a", 0)])
    world.apply(score(1))
    world.change("a", capacity=1)
    changes = world.release(now=at(9))
    assert world.kinds(changes) == ["released", "active"]
    assert (decision(changes).cause.event_id, decision(changes).at) == ("capacity", at(9))
    assert world.lead(1).held_reason is None


def test_a_newcomer_does_not_overtake_a_held_lead_of_the_same_score() -> None:
    world = World([pool("a")], [rep("a", 0)])
    world.apply(score(1))
    world.change("a", capacity=1)
    changes = world.apply(score(2))
    assert assignments(changes) == [(lead_id(1), 1, "a", "active")]
    assert world.lead(2).state is State.HELD


def test_a_better_newcomer_goes_before_a_held_lead() -> None:
    world = World([pool("a")], [rep("a", 0)])
    world.apply(score(1, score=60))
    world.change("a", capacity=1)
    world.apply(score(2, score=61))
    assert (world.lead(1).state, world.lead(2).state) == (State.HELD, State.ASSIGNED)


def test_a_held_lead_moves_up_with_its_score() -> None:
    world = World([pool("a")], [rep("a", 0)])
    world.apply(score(1, score=60), score(2, score=70))
    world.apply(score(1, 2, score=80))
    world.change("a", capacity=1)
    world.release()
    assert (world.lead(1).state, world.lead(2).state) == (State.ASSIGNED, State.HELD)


def test_the_same_lead_twice_in_a_batch_gets_one_rep() -> None:
    world = World([pool("a", "b")], [rep("a"), rep("b")])
    changes = world.apply(score(1, 1), score(1, 2))
    assert len(assignments(changes)) == 1


def test_an_older_version_of_a_lead_changes_nothing() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(unqualified(1, 5))
    changes = world.apply(score(1, 4))
    assert changes.leads == ()
    assert changes.records == ()


def test_a_version_seen_before_changes_nothing() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(score(1, 4, score=60))
    assert world.apply(score(1, 4, score=99)).leads == ()


def test_history_never_starts_an_assignment() -> None:
    world = World([pool("a")], [rep("a")])
    changes = world.apply(score(1, live=False))
    assert changes.records == ()
    assert world.lead(1).state is State.NURTURING


def test_a_lead_known_from_history_is_assigned_when_it_qualifies_live() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(unqualified(1, 1, live=False))
    world.apply(score(1, 2))
    assert world.owner(1) == "a"


def test_records_that_repeat_a_qualification_do_not_start_it_again() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(score(1, 1))
    world.apply(outcome("lost", 1))
    changes = world.apply(score(1, 2, score=90))
    assert changes.records == ()
    assert world.lead(1).state is State.CLOSED


def test_an_end_that_was_dated_before_the_qualification_does_not_make_it_news() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(score(1, 1))
    world.apply(outcome("lost", 1, occurred_at=at(-999)))
    assert world.apply(score(1, 2)).records == ()
    assert world.lead(1).state is State.CLOSED


def test_a_closed_lead_that_qualifies_anew_begins_another_cycle() -> None:
    world = World([pool("a", "b")], [rep("a"), rep("b")])
    world.apply(score(1, 1))
    world.apply(outcome("rejected", 1))
    world.apply(outcome("won", 1, occurred_at=at(10)))
    changes = world.apply(score(1, 2, qualified_at=at(20)))
    lead = world.lead(1)
    assert (lead.state, lead.stage, lead.cycle, lead.epoch, lead.excluded) == (
        State.ASSIGNED,
        Stage.MARKETING_QUALIFIED,
        2,
        3,
        (),
    )
    assert assignments(changes)[0][1] == 3


def test_a_customer_known_from_history_who_comes_back_is_assigned() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(unqualified(1, 1, live=False))
    world.apply(outcome("won", 1, live=False, occurred_at=at(-9999)))
    assert world.lead(1).state is State.CLOSED
    world.apply(score(1, 2))
    assert (world.owner(1), world.lead(1).cycle) == ("a", 2)


def test_a_qualification_from_before_the_lead_was_closed_does_not_bring_it_back() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(unqualified(1, 1))
    world.apply(outcome("won", 1, occurred_at=at(50)))
    changes = world.apply(score(1, 2, qualified_at=at(40)))
    assert changes.records == ()
    assert world.lead(1).state is State.CLOSED


def test_a_disqualified_lead_stays_closed_whatever_it_does() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(score(1))
    world.apply(outcome("disqualified", 1))
    world.apply(score(1, 2, qualified_at=at(9999)))
    assert world.lead(1).state is State.CLOSED


def test_a_recycled_lead_comes_back_when_it_qualifies_anew() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(score(1))
    world.apply(outcome("recycled", 1, occurred_at=at(10)))
    assert (world.lead(1).state, world.lead(1).stage) == (State.NURTURING, Stage.RECYCLED)
    world.apply(score(1, 2, qualified_at=at(20)))
    assert (world.lead(1).state, world.lead(1).cycle) == (State.ASSIGNED, 2)


def test_pools_are_drained_apart() -> None:
    world = World([pool("a"), pool("b", name="big")], [rep("a", 0), rep("b")])
    world.apply(score(1), score(2, pool="big", rule="large"))
    assert (world.owner(1), world.owner(2)) == (None, "b")


def test_a_rep_in_two_pools_has_one_capacity() -> None:
    world = World([pool("a"), pool("a", name="big")], [rep("a", 1)])
    world.apply(score(1), score(2, pool="big", rule="large"))
    assert sorted(str(world.owner(number)) for number in (1, 2)) == ["None", "a"]


def test_a_slot_that_becomes_free_serves_every_pool_of_the_rep() -> None:
    world = World([pool("a"), pool("a", name="big")], [rep("a", 1)])
    world.apply(score(1))
    world.apply(score(2, pool="big", rule="large"))
    changes = world.apply(outcome("lost", 1))
    assert assignments(changes)[-1] == (lead_id(2), 1, "a", "active")
