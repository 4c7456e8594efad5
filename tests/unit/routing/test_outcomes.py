"""What reported outcomes do."""

from __future__ import annotations

import pytest

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


def assigned(*members: str, capacity: int = 10) -> World:
    """Lead 1 with the first of the members."""
    world = World([pool(*members)], [rep(name, capacity) for name in members])
    world.apply(score(1))
    assert world.owner(1) == members[0]
    return world


def test_accepted_is_sal() -> None:
    world = assigned("a")
    changes = world.apply(outcome("accepted", 1))
    assert world.kinds(changes) == ["outcome.applied"]
    assert (world.lead(1).stage, world.owner(1)) == (Stage.SALES_ACCEPTED, "a")


def test_a_rejected_lead_goes_to_another_rep_under_the_next_epoch() -> None:
    world = assigned("a", "b")
    changes = world.apply(outcome("rejected", 1, reason="not_my_region"))
    assert assignments(changes) == [(lead_id(1), 1, "a", "revoked"), (lead_id(1), 2, "b", "active")]
    assert world.kinds(changes) == ["outcome.applied", "revoked", "active", "assigned"]
    assert (world.lead(1).stage, world.reps["a"].open) == (Stage.MARKETING_QUALIFIED, 0)


def test_a_lead_whose_only_rep_rejected_it_is_held_and_not_given_back() -> None:
    world = assigned("a")
    changes = world.apply(outcome("rejected", 1))
    assert world.kinds(changes) == ["outcome.applied", "revoked", "held"]
    assert world.lead(1).held_reason == "all_rejected"
    assert world.kinds(world.release()) == []


def test_between_two_reps_a_rejected_lead_is_pending() -> None:
    world = assigned("a", "b")
    changes = world.apply(outcome("rejected", 1))
    first = decision(changes).lead
    assert first is not None
    assert (first.state, first.version) == (State.PENDING, 2)


@pytest.mark.parametrize(
    ("report", "stage", "state"),
    [
        ("won", Stage.WON, State.CLOSED),
        ("lost", Stage.LOST, State.CLOSED),
        ("disqualified", Stage.DISQUALIFIED, State.CLOSED),
        ("recycled", Stage.RECYCLED, State.NURTURING),
    ],
)
def test_what_ends_the_work_frees_the_slot_and_the_next_lead_gets_it(report: str, stage: Stage, state: State) -> None:
    world = assigned("a", capacity=1)
    world.apply(score(2))
    assert world.lead(2).state is State.HELD
    changes = world.apply(outcome(report, 1, event_id="end"))
    assert (world.lead(1).stage, world.lead(1).state) == (stage, state)
    assert world.kinds(changes) == ["outcome.applied", "closed", "released", "active"]
    assert (world.owner(2), decision(changes, 1).cause.event_id) == ("a", "end")


def test_decisions_that_change_the_pool_are_numbered_and_others_are_not() -> None:
    world = assigned("a")
    assert decision(world.apply(outcome("accepted", 1))).number is None
    assert decision(world.apply(outcome("won", 1))).number == 2


@pytest.mark.parametrize("report", ["accepted", "rejected", "contacted", "disqualified", "recycled"])
def test_a_stale_epoch_changes_nothing(report: str) -> None:
    world = assigned("a", "b")
    world.apply(outcome("rejected", 1))
    before = world.lead(1)
    changes = world.apply(outcome(report, 1, epoch=1))
    after = world.lead(1)
    assert (decision(changes).kind, decision(changes).reason) == ("outcome.stale", "stale_epoch")
    assert (after.state, after.stage, after.rep, after.epoch) == (before.state, before.stage, "b", 2)


def test_an_assignment_id_of_another_epoch_is_stale() -> None:
    world = assigned("a", "b")
    old = world.assignments[lead_id(1), 1].assignment_id
    world.apply(outcome("rejected", 1, assignment_id=old))
    changes = world.apply(outcome("rejected", 1, assignment_id=old))
    assert decision(changes).kind == "outcome.stale"
    assert world.owner(1) == "b"


def test_an_epoch_that_never_was_is_stale() -> None:
    world = assigned("a", "b")
    assert decision(world.apply(outcome("rejected", 1, epoch=7))).kind == "outcome.stale"
    assert world.owner(1) == "a"


def test_an_epoch_that_was_revoked_is_stale_while_the_lead_is_held() -> None:
    world = assigned("a")
    world.apply(outcome("rejected", 1, epoch=1))
    assert decision(world.apply(outcome("accepted", 1, epoch=1))).reason == "stale_epoch"
    assert (world.lead(1).state, world.lead(1).stage) == (State.HELD, Stage.MARKETING_QUALIFIED)


def test_a_former_owner_who_names_no_epoch_is_stale_too() -> None:
    world = assigned("a", "b")
    world.apply(outcome("rejected", 1, rep_id="a"))
    changes = world.apply(outcome("rejected", 1, rep_id="a"))
    assert decision(changes).reason == "former_rep"
    assert world.owner(1) == "b"


def test_a_rejection_of_a_lead_that_nobody_has_is_stale() -> None:
    world = World([pool("a")], [rep("a", 0)])
    world.apply(score(1))
    changes = world.apply(outcome("rejected", 1))
    assert decision(changes).reason == "not_assigned"
    assert world.lead(1).state is State.HELD


def test_a_deal_reported_under_a_stale_epoch_counts_and_moves_nothing() -> None:
    world = assigned("a", "b")
    world.apply(outcome("rejected", 1))
    changes = world.apply(outcome("won", 1, epoch=1))
    assert (decision(changes).kind, decision(changes).flags) == ("outcome.applied", ("stale_epoch",))
    assert (world.owner(1), world.lead(1).stage) == ("b", Stage.MARKETING_QUALIFIED)


def test_the_owner_who_reports_a_deal_a_colleague_reported_first_is_done_with_it() -> None:
    world = assigned("a", "b")
    world.apply(outcome("rejected", 1))
    world.apply(outcome("won", 1, epoch=1))
    changes = world.apply(outcome("won", 1, epoch=2))
    assert world.kinds(changes) == ["outcome.repeat", "closed"]
    assert (world.lead(1).state, world.lead(1).stage) == (State.CLOSED, Stage.WON)


def test_a_deal_is_won_once() -> None:
    world = assigned("a")
    world.apply(outcome("won", 1))
    changes = world.apply(outcome("won", 1))
    assert (decision(changes).kind, decision(changes).flags) == ("outcome.repeat", ("repeat",))


def test_a_deal_is_lost_or_won_not_both() -> None:
    world = assigned("a")
    world.apply(outcome("lost", 1))
    changes = world.apply(outcome("won", 1))
    assert (decision(changes).kind, decision(changes).reason) == ("outcome.repeat", "deal_is_lost")
    assert world.lead(1).stage is Stage.LOST


def test_a_deal_reported_again_by_a_nightly_export_does_not_end_the_next_cycle() -> None:
    world = assigned("a")
    world.apply(outcome("won", 1, deal_id="d-1", occurred_at=at(10)))
    world.apply(score(1, 2, qualified_at=at(20)), now=at(20))
    changes = world.apply(outcome("won", 1, deal_id="d-1", occurred_at=at(10)))
    assert decision(changes).kind == "outcome.repeat"
    assert world.owner(1) == "a"


def test_without_deal_ids_each_cycle_has_a_deal_of_its_own() -> None:
    world = assigned("a")
    world.apply(outcome("won", 1, occurred_at=at(10)))
    world.apply(score(1, 2, qualified_at=at(20)), now=at(20))
    changes = world.apply(outcome("won", 1, occurred_at=at(30)))
    assert decision(changes).kind == "outcome.applied"
    assert sorted(key for _, key in world.deals) == ["cycle-1", "cycle-2"]


def test_a_cancelled_order_makes_the_lead_lost() -> None:
    world = assigned("a")
    world.apply(outcome("won", 1))
    changes = world.apply(outcome("won.cancelled", 1))
    assert decision(changes).kind == "outcome.applied"
    assert (world.lead(1).stage, world.lead(1).state) == (Stage.LOST, State.CLOSED)


def test_a_cancellation_that_comes_before_its_order_is_remembered() -> None:
    world = assigned("a")
    world.apply(outcome("won.cancelled", 1))
    changes = world.apply(outcome("won", 1))
    assert decision(changes).kind == "outcome.applied"
    assert (world.lead(1).stage, world.lead(1).state) == (Stage.LOST, State.CLOSED)


def test_a_reopened_deal_gives_the_lead_back_to_its_former_owner() -> None:
    world = assigned("a", "b", "c")
    world.apply(outcome("lost", 1))
    changes = world.apply(outcome("reopened", 1))
    assert assignments(changes) == [(lead_id(1), 2, "a", "active")]
    assert (world.lead(1).stage, world.lead(1).state) == (Stage.OPPORTUNITY, State.ASSIGNED)
    assert decision(world.apply(outcome("won", 1))).kind == "outcome.applied"


def test_a_loss_from_before_the_reopening_counts_but_the_deal_stays_open() -> None:
    world = assigned("a")
    world.apply(outcome("accepted", 1))
    world.apply(outcome("reopened", 1, occurred_at=at(20)))
    changes = world.apply(outcome("lost", 1, occurred_at=at(10)))
    assert (decision(changes).kind, decision(changes).flags) == ("outcome.applied", ("overtaken",))
    assert world.lead(1).state is State.ASSIGNED


def test_a_late_report_after_the_end_counts_and_leaves_the_end() -> None:
    world = assigned("a")
    world.apply(outcome("won", 1))
    changes = world.apply(outcome("appointment.set", 1, epoch=1))
    assert decision(changes).kind == "outcome.applied"
    assert (world.lead(1).stage, world.lead(1).state) == (Stage.WON, State.CLOSED)


def test_a_held_lead_that_is_closed_leaves_the_queue() -> None:
    world = World([pool("a")], [rep("a", 0)])
    world.apply(score(1))
    world.apply(outcome("disqualified", 1))
    world.change("a", capacity=5)
    assert world.release().records == ()
    assert world.lead(1).state is State.CLOSED


# Outcomes of leads that nobody was given.


@pytest.mark.parametrize("live", [True, False])
def test_an_outcome_of_an_unassigned_lead_is_applied_without_an_assignment(live: bool) -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(unqualified(1, live=live))
    changes = world.apply(outcome("won", 1, live=live))
    assert world.kinds(changes) == ["outcome.applied"]
    assert (world.lead(1).state, world.lead(1).stage) == (State.CLOSED, Stage.WON)
    assert (decision(changes).live, decision(changes).number) == (live, None)


def test_history_ends_in_nurturing_or_closed() -> None:
    world = World([pool("a")], [rep("a")])
    for lead, report in enumerate(
        ["accepted", "appointment.set", "recycled", "lost", "won", "disqualified", "reopened"]
    ):
        world.apply(unqualified(lead, live=False))
        world.apply(outcome(report, lead, live=False))
    assert [world.lead(lead).state for lead in range(7)] == ["nurturing"] * 3 + ["closed"] * 3 + ["nurturing"]
    assert world.assignments == {}


def test_history_counts_but_does_not_touch_a_lead_that_is_being_worked() -> None:
    world = assigned("a")
    for report in ("won", "rejected", "disqualified"):
        changes = world.apply(outcome(report, 1, live=False))
        assert (decision(changes).kind, decision(changes).flags) == ("outcome.applied", ("history",))
    assert (world.owner(1), world.lead(1).stage) == ("a", Stage.MARKETING_QUALIFIED)


# Outcomes of leads not known yet.


def test_an_outcome_of_an_unknown_lead_waits_and_is_applied_when_the_lead_arrives() -> None:
    world = World([pool("a")], [rep("a")])
    waited = world.apply(outcome("accepted", 1, event_id="early"))
    assert (world.kinds(waited), decision(waited).lead) == (["outcome.waiting"], None)
    changes = world.apply(score(1))
    assert world.kinds(changes) == ["outcome.applied", "active", "assigned"]
    assert world.lead(1).stage is Stage.SALES_ACCEPTED
    assert world.waiting == {}


def test_an_outcome_may_name_its_lead_by_any_identifier() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(unqualified(1, names=("external:crm:42",)))
    changes = world.apply(outcome("won", names=("email:x@example.com", "external:crm:42")))
    assert world.kinds(changes) == ["outcome.applied"]


def test_an_outcome_that_waits_is_found_by_an_identifier_learnt_later() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(unqualified(1))
    world.apply(outcome("won", names=("external:crm:42",)))
    assert len(world.waiting) == 1
    world.apply(unqualified(1, 2, names=("email:1@example.com", "external:crm:42")))
    assert (world.waiting, world.lead(1).state) == ({}, State.CLOSED)


def test_a_waiting_outcome_frees_the_slot_of_the_lead_it_turns_out_to_be_about() -> None:
    world = World([pool("a")], [rep("a", 1)])
    world.apply(score(1))
    world.apply(score(2))
    world.apply(outcome("lost", names=("external:crm:42",)))
    changes = world.apply(score(1, 2, names=("external:crm:42",)))
    assert assignments(changes) == [(lead_id(1), 1, "a", "closed"), (lead_id(2), 1, "a", "active")]


def test_waiting_outcomes_are_applied_in_the_order_in_which_they_happened() -> None:
    world = World()
    world.apply(outcome("lost", 1, occurred_at=at(9)), outcome("opportunity.opened", 1, occurred_at=at(5)))
    changes = world.apply(unqualified(1))
    assert [str(decision(changes, index).outcome.report) for index in range(2)] == [  # type: ignore[union-attr]
        "opportunity.opened",
        "lost",
    ]


def test_an_outcome_before_its_lead_in_the_same_batch_waits_for_it_there() -> None:
    world = World([pool("a")], [rep("a")])
    changes = world.apply(outcome("won", 1, occurred_at=at(-5)), score(1))
    assert world.kinds(changes) == ["outcome.waiting", "outcome.applied", "active", "assigned"]
    assert (changes.waiting, changes.arrived) == ((), ())


def test_a_lead_sold_before_its_first_contact_is_closed() -> None:
    world = World()
    world.apply(outcome("won", names=("external:olist:1",), live=False, occurred_at=at(-99)))
    changes = world.apply(unqualified(1, names=("external:olist:1",), live=False))
    assert world.kinds(changes) == ["outcome.applied"]
    assert world.lead(1).state is State.CLOSED
