"""The state machine of a lead in routing, as tables.

Two things move apart. The *stage* says how far sales has brought the lead; an outcome moves it along `TRANSITIONS`.
The *state* says where the lead is in routing; what an outcome does to it stands in `EFFECTS`.

Order comes from these tables, not from arrival: a report that comes late (an appointment after the order) is legal and
leaves the stage where it is, so any order of arrival ends in the same stage. What has no entry is illegal and changes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from types import MappingProxyType


class Stage(StrEnum):
    """How far a lead has come. The first four are marketing's, the others sales'."""

    NEW = "new"
    ENGAGED = "engaged"
    NURTURE = "nurture"
    MARKETING_QUALIFIED = "mql"
    SALES_ACCEPTED = "sal"
    SALES_QUALIFIED = "sql"
    OPPORTUNITY = "opportunity"
    WON = "won"
    LOST = "lost"
    RECYCLED = "recycled"
    DISQUALIFIED = "disqualified"
    SUPPRESSED = "suppressed"


class State(StrEnum):
    """Where a lead is in routing."""

    UNKNOWN = "unknown"
    """Named by an outcome, not yet seen in lead-scores."""
    NURTURING = "nurturing"
    """Marketing's: not qualified yet, or recycled."""
    PENDING = "pending"
    """In its pool's queue, not decided yet. Exists inside a transaction only."""
    HELD = "held"
    ASSIGNED = "assigned"
    CLOSED = "closed"


class Report(StrEnum):
    """What a rep or a sales tool can report."""

    ATTEMPTED = "attempted"
    CONTACTED = "contacted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    APPOINTMENT_SET = "appointment.set"
    APPOINTMENT_HELD = "appointment.held"
    APPOINTMENT_NO_SHOW = "appointment.no_show"
    APPOINTMENT_CANCELLED = "appointment.cancelled"
    OPPORTUNITY_OPENED = "opportunity.opened"
    DEAL_UPDATED = "deal.updated"
    WON = "won"
    WON_CANCELLED = "won.cancelled"
    LOST = "lost"
    REOPENED = "reopened"
    RECYCLED = "recycled"
    DISQUALIFIED = "disqualified"


class Effect(Enum):
    """What a report does to the lead's place in routing."""

    NONE = "none"
    REVOKE = "revoke"
    """The rep gives the lead back; another one gets it."""
    CLOSE = "close"
    """The work is over; the rep's slot is free."""
    RECYCLE = "recycle"
    """As close, and marketing has the lead again."""
    REOPEN = "reopen"
    """A closed lead needs an owner again."""


REASON_REQUIRED = frozenset({Report.REJECTED, Report.LOST, Report.RECYCLED, Report.DISQUALIFIED})
"""Reports that say nothing to anyone without a reason code."""

DEAL_FACTS = frozenset(
    {
        Report.OPPORTUNITY_OPENED,
        Report.DEAL_UPDATED,
        Report.WON,
        Report.WON_CANCELLED,
        Report.LOST,
        Report.REOPENED,
    }
)
"""Facts about a deal: they count whoever reports them."""

EFFECTS: Mapping[Report, Effect] = MappingProxyType(
    {
        Report.REJECTED: Effect.REVOKE,
        Report.WON: Effect.CLOSE,
        Report.LOST: Effect.CLOSE,
        Report.DISQUALIFIED: Effect.CLOSE,
        Report.RECYCLED: Effect.RECYCLE,
        Report.REOPENED: Effect.REOPEN,
    }
)

_MARKETING = (Stage.NEW, Stage.ENGAGED, Stage.NURTURE, Stage.MARKETING_QUALIFIED)
_WORKED = (Stage.SALES_ACCEPTED, Stage.SALES_QUALIFIED)
_OVER = (Stage.WON, Stage.LOST, Stage.RECYCLED, Stage.DISQUALIFIED)


def _to(target: Stage, *stages: Stage) -> dict[Stage, Stage]:
    return dict.fromkeys(stages, target)


def _stay(*stages: Stage) -> dict[Stage, Stage]:
    return {stage: stage for stage in stages}


_TRIED = _stay(*_MARKETING, *_WORKED, Stage.OPPORTUNITY, *_OVER)
_APPOINTMENT = _to(Stage.SALES_QUALIFIED, *_MARKETING, Stage.SALES_ACCEPTED) | _stay(
    Stage.SALES_QUALIFIED, Stage.OPPORTUNITY, Stage.WON, Stage.LOST, Stage.RECYCLED
)
_DEAL = _to(Stage.OPPORTUNITY, *_MARKETING, *_WORKED) | _stay(Stage.OPPORTUNITY, *_OVER)

TRANSITIONS: Mapping[Report, Mapping[Stage, Stage]] = MappingProxyType(
    {
        Report.ATTEMPTED: _TRIED,
        Report.CONTACTED: _TRIED,
        Report.ACCEPTED: _to(Stage.SALES_ACCEPTED, *_MARKETING)
        | _stay(*_WORKED, Stage.OPPORTUNITY, Stage.WON, Stage.LOST, Stage.RECYCLED),
        Report.REJECTED: _to(Stage.MARKETING_QUALIFIED, Stage.MARKETING_QUALIFIED, *_WORKED),
        Report.APPOINTMENT_SET: _APPOINTMENT,
        Report.APPOINTMENT_HELD: _APPOINTMENT,
        Report.APPOINTMENT_NO_SHOW: _APPOINTMENT,
        Report.APPOINTMENT_CANCELLED: _APPOINTMENT,
        Report.OPPORTUNITY_OPENED: _DEAL,
        Report.DEAL_UPDATED: _DEAL,
        Report.WON: _to(Stage.WON, *_MARKETING, *_WORKED, Stage.OPPORTUNITY, *_OVER),
        Report.WON_CANCELLED: _to(Stage.LOST, Stage.WON)
        | _stay(*_WORKED, Stage.OPPORTUNITY, Stage.LOST, Stage.RECYCLED, Stage.DISQUALIFIED),
        Report.LOST: _to(Stage.LOST, *_MARKETING, *_WORKED, Stage.OPPORTUNITY) | _stay(*_OVER),
        Report.REOPENED: _to(Stage.OPPORTUNITY, *_WORKED, Stage.OPPORTUNITY, Stage.LOST)
        | _stay(Stage.WON, Stage.RECYCLED, Stage.DISQUALIFIED),
        Report.RECYCLED: _to(Stage.RECYCLED, *_MARKETING, *_WORKED, Stage.OPPORTUNITY, Stage.LOST)
        | _stay(Stage.RECYCLED),
        Report.DISQUALIFIED: _to(
            Stage.DISQUALIFIED, *_MARKETING, *_WORKED, Stage.OPPORTUNITY, Stage.LOST, Stage.RECYCLED
        )
        | _stay(Stage.DISQUALIFIED),
    }
)
"""report -> stage before -> stage after. A missing entry is an illegal transition."""


def after(stage: Stage, report: Report) -> Stage | None:
    """The stage that follows, or None when the report is illegal in this stage."""
    return TRANSITIONS[report].get(stage)
