"""The state of one lead, put together from what scoring and routing publish about it.

Scoring and routing each number their records per lead. The records of one topic arrive in order, but the two topics
of routing, and those of routing and scoring, are read at different speeds. So per service the record with the
highest version says how things stand, and a state that contradicts itself is given time to become whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from funnel.contracts import LeadAssignment, LeadDecision, LeadScore, ReportedOutcome
from funnel.ledger import LeadState
from services.metrics.domain.outcomes import CountedOutcome, counted_outcome, negated, tally_of
from services.metrics.domain.tallies import MAX_ORIGIN_CHARS, UNKNOWN_ORIGIN, Increment, Kpi, TallyKey, local_day

UNSETTLED_LIMIT = timedelta(seconds=60)
"""How long a lead may be pending, or in a contradiction between topics, before it is unaccounted.

The time runs on the clock of Postgres, from the moment this service learned of it. One clock, so that no skew between
machines makes a lead look lost; and from learning, not from `qualified_at`, so that a service which reads a backlog
does not report every lead in it as lost.
"""

_NEVER_AGAIN = frozenset({"disqualified", "suppressed"})
"""Stages after which routing acts on no qualification."""

_ASSIGNMENTS, _DECISIONS = 0, 1
"""Which topic of routing prevails at equal versions: a decision names the state, an assignment only implies it."""


@dataclass(frozen=True, slots=True)
class Lead:
    """What is known of a lead. `routing_seen` is (version, topic) of the newest record of routing."""

    lead_id: str
    origin: str = UNKNOWN_ORIGIN
    score_version: int = 0
    stage: str | None = None
    qualified: bool = False
    qualified_at: datetime | None = None
    routing_seen: tuple[int, int] = (0, 0)
    routing_state: LeadState | None = None
    routing_stage: str | None = None
    routing_at: datetime | None = None
    assignments_started: int = 0
    assignments_ended: int = 0
    unsettled_since: datetime | None = None
    counted: tuple[CountedOutcome, ...] = ()

    @property
    def active_assignments(self) -> int:
        return self.assignments_started - self.assignments_ended


def state_of(lead: Lead) -> LeadState | None:
    """Where the ledger counts the lead; None when it is in none or in two places at once.

    Assignment records of a lead arrive in their order, each once: two active at any moment is a fault, not a delay.
    """
    if lead.active_assignments not in (0, 1):
        return None
    if lead.routing_state is not None and not _waits_again(lead):
        return lead.routing_state
    if lead.stage == LeadState.SUPPRESSED:
        return LeadState.SUPPRESSED
    return LeadState.PENDING if lead.qualified else LeadState.NURTURING


def _waits_again(lead: Lead) -> bool:
    """Whether the lead qualified after routing had last given it back to marketing, or closed it."""
    return (
        lead.qualified
        and lead.routing_state in (LeadState.NURTURING, LeadState.CLOSED)
        and lead.routing_stage not in _NEVER_AGAIN
        and lead.qualified_at is not None
        and lead.routing_at is not None
        and lead.qualified_at > lead.routing_at
    )


def is_settled(lead: Lead) -> bool:
    """Whether nothing more is expected: not pending, known to scoring, and both routing topics agree."""
    state = state_of(lead)
    if state in (None, LeadState.PENDING) or lead.score_version == 0:
        return False
    return (state is LeadState.ASSIGNED) == (lead.active_assignments == 1)


def apply_score(lead: Lead, score: LeadScore, zone: tzinfo, now: datetime) -> tuple[Lead, list[Increment]]:
    """The lead after a record of scoring, and what it adds to the tally.

    The first record counts the lead, on the day of the event that created it, and gives an origin to the outcomes
    counted before it. Raises Poison when the day cannot be told.
    """
    if score.version <= lead.score_version:
        return lead, []
    increments: list[Increment] = []
    origin = lead.origin
    if lead.score_version == 0:
        origin = (score.origin or UNKNOWN_ORIGIN)[:MAX_ORIGIN_CHARS]
        increments.append(Increment(TallyKey(local_day(score.created_at, zone), Kpi.LEADS, origin, "")))
        increments += negated(tally_of(lead.counted, lead.origin)) + tally_of(lead.counted, origin)
    lead = replace(
        lead,
        origin=origin,
        score_version=score.version,
        stage=str(score.stage),
        qualified=score.qualified,
        qualified_at=score.qualified_at,
    )
    return _watched(lead, now), increments


def apply_assignment(lead: Lead, assignment: LeadAssignment, now: datetime) -> Lead:
    """The lead after an assignment record. Every record counts, whatever its version: the inbox lets it in once."""
    if assignment.status == "assigned":
        lead = replace(lead, assignments_started=lead.assignments_started + 1)
    else:
        lead = replace(lead, assignments_ended=lead.assignments_ended + 1)
    seen, at = (assignment.version, _ASSIGNMENTS), _latest(assignment.at, assignment.outcome)
    if seen >= lead.routing_seen:
        lead = replace(lead, routing_seen=seen, routing_state=_state_after(assignment), routing_at=at)
    return _watched(lead, now)


def apply_decision(lead: Lead, decision: LeadDecision, zone: tzinfo, now: datetime) -> tuple[Lead, list[Increment]]:
    """The lead after a decision of routing, and what an applied outcome adds to the tally.

    Raises Poison when the day of the outcome cannot be told.
    """
    increments: list[Increment] = []
    if (counted := counted_outcome(decision, zone)) is not None:
        before, lead = lead.counted, replace(lead, counted=(*lead.counted, counted))
        increments = negated(tally_of(before, lead.origin)) + tally_of(lead.counted, lead.origin)
    seen = (decision.version or 0, _DECISIONS)
    if decision.state is not None and seen >= lead.routing_seen:
        lead = replace(
            lead,
            routing_seen=seen,
            routing_state=LeadState(decision.state),
            routing_stage=decision.stage,
            routing_at=_latest(decision.at, decision.outcome),
        )
    return _watched(lead, now), increments


def _state_after(assignment: LeadAssignment) -> LeadState:
    """A revoked lead is routing's to decide again; a recycled one goes back to marketing."""
    if assignment.status == "assigned":
        return LeadState.ASSIGNED
    if assignment.status == "revoked":
        return LeadState.PENDING
    recycled = assignment.outcome is not None and assignment.outcome.type == "recycled"
    return LeadState.NURTURING if recycled else LeadState.CLOSED


def _latest(at: datetime, outcome: ReportedOutcome | None) -> datetime:
    """When routing last spoke of the lead: a qualification from before what it was told changes nothing any more."""
    return at if outcome is None else max(at, outcome.occurred_at)


def _watched(lead: Lead, now: datetime) -> Lead:
    """The lead with the time since which it is unsettled; being settled in between starts it anew."""
    if is_settled(lead):
        return lead if lead.unsettled_since is None else replace(lead, unsettled_since=None)
    return lead if lead.unsettled_since is not None else replace(lead, unsettled_since=now)
