"""The state of a lead, in whatever order its topics are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.contracts import LeadAssignment, LeadDecision, LeadScore
from funnel.ledger import LeadState
from services.metrics.domain.leads import Lead, apply_assignment, apply_decision, apply_score, is_settled, state_of
from services.metrics.domain.tallies import Increment, Kpi, TallyKey, summed
from tests.unit.metrics.records import LEAD, NOON, assignment, decision, outcome, score

TOKYO = ZoneInfo("Asia/Tokyo")
Record = LeadScore | LeadAssignment | LeadDecision


def read(records: Sequence[Record], lead: Lead | None = None, now: datetime = NOON) -> tuple[Lead, list[Increment]]:
    """The lead after `records`, and the tally they leave."""
    lead = lead or Lead(LEAD)
    increments: list[Increment] = []
    for record in records:
        added: list[Increment] = []
        if isinstance(record, LeadScore):
            lead, added = apply_score(lead, record, TOKYO, now)
        elif isinstance(record, LeadAssignment):
            lead = apply_assignment(lead, record, now)
        else:
            lead, added = apply_decision(lead, record, TOKYO, now)
        increments += added
    return lead, summed(increments)


def state_after(*records: Record) -> LeadState | None:
    return state_of(read(records)[0])


QUALIFIED = score(1, qualified=True, origin="google")

# What the topics carry about a lead that was given, refused, given again, won, cancelled and won a second time.
SCORES: list[Record] = [score(1, origin="google"), score(2, origin="google", qualified=True), score(3, qualified=True)]
ASSIGNMENTS: list[Record] = [
    assignment(2, "assigned", epoch=1),
    assignment(4, "revoked", epoch=1),
    assignment(6, "assigned", epoch=2),
    assignment(9, "closed", epoch=2, outcome=outcome("won")),
]
DECISIONS: list[Record] = [
    decision(1, "held", state="held"),
    decision(2, "released", state="assigned"),
    decision(3, state="assigned", stage="sal", outcome=outcome("rejected", reason="language")),
    decision(5, "held", state="held"),
    decision(7, state="assigned", stage="sql", outcome=outcome("appointment.set")),
    decision(8, state="closed", stage="won", outcome=outcome("won", yen="1200000", deal_id="d-1")),
    decision(10, state="closed", stage="won", outcome=outcome("won.cancelled", deal_id="d-1")),
    decision(11, "outcome.repeat", state="closed", stage="won", outcome=outcome("won", yen="5")),
]
INTERLEAVED = st.permutations([0] * len(SCORES) + [1] * len(ASSIGNMENTS) + [2] * len(DECISIONS))


def merged(order: Sequence[int]) -> list[Record]:
    """The three topics read in that order of turns, each in its own order."""
    topics = [iter(SCORES), iter(ASSIGNMENTS), iter(DECISIONS)]
    return [next(topics[turn]) for turn in order]


@given(order=INTERLEAVED)
def test_any_interleaving_of_the_topics_gives_the_same_lead_and_the_same_tally(order: list[int]) -> None:
    lead, tally = read(merged(order))
    expected_lead, expected_tally = read([*SCORES, *ASSIGNMENTS, *DECISIONS])
    assert lead == expected_lead
    assert tally == expected_tally


@given(order=INTERLEAVED, cut=st.integers(0, 15))
def test_a_batch_border_changes_nothing(order: list[int], cut: int) -> None:
    records = merged(order)
    whole, tally = read(records)
    lead, first = read(records[:cut])
    lead, second = read(records[cut:], lead)
    assert lead == whole
    assert summed([*first, *second]) == tally


@given(order=INTERLEAVED)
def test_at_no_moment_of_reading_does_a_lead_seem_to_have_two_owners(order: list[int]) -> None:
    lead = Lead(LEAD)
    for record in merged(order):
        lead, _ = read([record], lead)
        assert state_of(lead) is not None


def test_the_whole_story_is_counted_once_and_under_the_leads_origin() -> None:
    lead, tally = read([*DECISIONS, *ASSIGNMENTS, *SCORES])
    counts = Counter({(one.key.kpi, one.key.origin): one.count for one in tally})
    assert counts == {
        (Kpi.LEADS, "google"): 1,
        (Kpi.APPOINTMENTS, "google"): 1,
        (Kpi.ORDERS_WON, "google"): 1,
        (Kpi.ORDERS_CANCELLED, "google"): 1,
    }
    assert state_of(lead) is LeadState.CLOSED
    assert lead.routing_stage == "won"


def test_a_lead_without_a_qualified_score_is_nurturing() -> None:
    assert state_after(score(1)) is LeadState.NURTURING


def test_a_qualified_lead_is_pending_until_routing_says_something() -> None:
    assert state_after(QUALIFIED) is LeadState.PENDING
    assert state_after(QUALIFIED, assignment(1)) is LeadState.ASSIGNED
    assert state_after(QUALIFIED, decision(1, "held", state="held")) is LeadState.HELD


def test_a_suppressed_lead_is_not_pending() -> None:
    assert state_after(score(1, qualified=True, stage="suppressed")) is LeadState.SUPPRESSED


def test_a_revoked_lead_is_pending_until_routing_decides_again() -> None:
    revoked: list[Record] = [QUALIFIED, assignment(1), assignment(2, "revoked")]
    assert state_after(*revoked) is LeadState.PENDING
    assert state_after(*revoked, assignment(3, epoch=2)) is LeadState.ASSIGNED


def test_a_recycled_lead_is_nurturing_and_a_lost_one_is_closed() -> None:
    given_away: list[Record] = [QUALIFIED, assignment(1)]
    assert state_after(*given_away, assignment(2, "closed", outcome=outcome("recycled"))) is LeadState.NURTURING
    assert state_after(*given_away, assignment(2, "closed", outcome=outcome("lost"))) is LeadState.CLOSED


def test_a_lead_that_qualifies_after_it_was_nurtured_is_pending_again() -> None:
    nurtured = decision(1, state="nurturing", outcome=outcome("contacted"))
    later = nurtured.at + timedelta(seconds=1)
    assert state_after(score(1), nurtured, score(2, qualified=True, qualified_at=later)) is LeadState.PENDING
    assert state_after(QUALIFIED, nurtured) is LeadState.NURTURING


def test_a_closed_lead_that_qualifies_again_is_pending_unless_it_may_never_come_back() -> None:
    lost = decision(1, state="closed", stage="lost", outcome=outcome("lost"))
    never = decision(1, state="closed", stage="disqualified", outcome=outcome("disqualified"))
    again = score(2, qualified=True, qualified_at=lost.at + timedelta(seconds=1))
    assert state_after(score(1), lost, again) is LeadState.PENDING
    assert state_after(score(1), never, again) is LeadState.CLOSED


def test_a_qualification_from_before_what_was_reported_changes_nothing() -> None:
    ahead = NOON + timedelta(days=1)
    lost = decision(1, state="closed", stage="lost", outcome=outcome("lost", at=ahead))
    later = lost.at + timedelta(seconds=1)
    assert state_after(score(1), lost, score(2, qualified=True, qualified_at=later)) is LeadState.CLOSED


def test_two_active_assignments_are_no_state_at_all() -> None:
    assert state_after(QUALIFIED, assignment(1, epoch=1), assignment(2, epoch=2)) is None


def test_an_end_without_a_beginning_is_no_state_at_all() -> None:
    assert state_after(QUALIFIED, assignment(1, "closed")) is None


def test_older_versions_change_no_state() -> None:
    assert state_after(QUALIFIED, decision(5, "held", state="held"), assignment(4)) is LeadState.HELD
    assert state_after(QUALIFIED, assignment(5), decision(4, "held", state="held")) is LeadState.ASSIGNED
    lead, _ = read([score(3, qualified=True), score(2)])
    assert (lead.score_version, lead.stage) == (3, "mql")


def test_at_the_same_version_the_decision_prevails() -> None:
    records: list[Record] = [assignment(4, "closed"), decision(4, state="nurturing", outcome=outcome("recycled"))]
    assert state_after(QUALIFIED, assignment(1), *records) is LeadState.NURTURING
    assert state_after(QUALIFIED, assignment(1), *reversed(records)) is LeadState.NURTURING


@pytest.mark.parametrize("kind", ["outcome.stale", "outcome.waiting", "outcome.repeat", "held", "breached"])
def test_only_an_applied_outcome_counts(kind: str) -> None:
    _, tally = read([decision(1, kind, state="assigned", outcome=outcome("won", yen="7"))])
    assert tally == []


@pytest.mark.parametrize("type_", ["accepted", "contacted", "appointment.held", "deal.updated", "recycled"])
def test_an_outcome_without_a_kpi_counts_nothing(type_: str) -> None:
    _, tally = read([decision(1, state="assigned", outcome=outcome(type_))])
    assert tally == []


def test_an_order_counts_on_the_day_it_was_won_with_its_amount() -> None:
    won = outcome("won", at=datetime.fromisoformat("2018-03-31T15:00:00+00:00"), yen="1200000.50")
    _, tally = read([decision(1, state="closed", outcome=won)])
    day = date(2018, 4, 1)
    assert tally == [
        Increment(TallyKey(day, Kpi.ORDERS_WON, "", ""), 1),
        Increment(TallyKey(day, Kpi.REVENUE, "", "JPY"), 0, Decimal("1200000.50")),
    ]


def test_an_order_without_an_amount_or_with_zero_counts_without_revenue() -> None:
    for yen in (None, "0", "0.00"):
        _, tally = read([decision(1, state="closed", outcome=outcome("won", yen=yen))])
        assert [one.key.kpi for one in tally] == [Kpi.ORDERS_WON]


def test_the_time_of_being_unsettled_starts_when_it_is_learned_and_ends_when_all_agree() -> None:
    first, second, third = (NOON + timedelta(hours=hour) for hour in (1, 2, 3))
    lead, _ = read([score(1)], now=first)
    assert lead.unsettled_since is None
    lead, _ = read([score(2, qualified=True)], lead, first)
    assert lead.unsettled_since == first
    lead, _ = read([score(3, qualified=True)], lead, second)
    assert lead.unsettled_since == first
    lead, _ = read([assignment(1)], lead, second)
    assert lead.unsettled_since is None
    lead, _ = read([assignment(2, "revoked")], lead, third)
    assert lead.unsettled_since == third


def test_being_settled_for_a_moment_inside_a_batch_starts_the_time_anew() -> None:
    lead, _ = read([QUALIFIED], now=NOON)
    later = NOON + timedelta(hours=1)
    lead, _ = read([assignment(1), assignment(2, "revoked")], lead, later)
    assert lead.unsettled_since == later


def test_a_contradiction_between_the_topics_of_routing_is_unsettled() -> None:
    closed_by_decision, _ = read([QUALIFIED, assignment(1), decision(2, state="closed", outcome=outcome("lost"))])
    assert not is_settled(closed_by_decision)
    agreed, _ = read([assignment(3, "closed", outcome=outcome("lost"))], closed_by_decision)
    assert is_settled(agreed)


def test_a_lead_that_scoring_never_told_of_is_unsettled() -> None:
    lead, _ = read([assignment(1)])
    assert state_of(lead) is LeadState.ASSIGNED
    assert not is_settled(lead)
