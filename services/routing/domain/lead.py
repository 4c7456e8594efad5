"""A lead and what arrives about it, as routing sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from funnel.contracts import Account, Amount, Channel, Contact, Reason, Touch
from services.routing.domain.lead_state import Report, Stage, State


@dataclass(frozen=True, slots=True)
class Cause:
    """The event that led to a decision, by its identity."""

    source: str
    event_id: str


class Facts(Struct, frozen=True, omit_defaults=True):
    """What an assignment record tells the rep about the lead, as scoring last said it."""

    grade: str | None = None
    reasons: tuple[Reason, ...] = ()
    account: Account | None = None
    contact: Contact | None = None
    message: str | None = None
    first_touch: Touch | None = None
    last_touch: Touch | None = None


NO_FACTS = Facts()
"""Nothing is kept of a lead that no rep is to have."""


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead in routing.

    `version` is routing's own and grows with each record published about the lead; `score_version` is the highest seen
    of scoring's. `epoch` grows by one per assignment, for ever; `cycle` by one each time the lead qualifies anew.
    `qualified_at` is the qualification that routing last acted on. `excluded` are reps who rejected the lead in this
    cycle, `preferred` is the rep who should have it back.
    """

    lead_id: str
    state: State = State.UNKNOWN
    stage: Stage = Stage.NEW
    version: int = 0
    score_version: int = 0
    score: int = 0
    epoch: int = 0
    cycle: int = 1
    pool: str | None = None
    rule: str | None = None
    rep: str | None = None
    qualified_at: datetime | None = None
    closed_at: datetime | None = None
    held_since: datetime | None = None
    held_reason: str | None = None
    excluded: tuple[str, ...] = ()
    preferred: str | None = None
    facts: Facts = NO_FACTS


def name_of_lead(lead_id: str) -> str:
    """The name under which an outcome waits that gave a lead id."""
    return f"lead:{lead_id}"


class AssignmentStatus(StrEnum):
    """Whether a rep has the lead now, had it taken away, or finished with it."""

    ACTIVE = "active"
    REVOKED = "revoked"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Assignment:
    """One rep owns, or owned, one lead."""

    lead_id: str
    epoch: int
    assignment_id: str
    rep: str
    pool: str
    rule: str | None
    status: AssignmentStatus
    assigned_at: datetime
    ended_at: datetime | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreSeen:
    """A record of lead-scores. `names` are the identifiers an outcome may use for the lead, `pool` and `rule` what
    the routing rules say of a qualified one."""

    lead_id: str
    version: int
    stage: Stage
    score: int
    live: bool
    qualified_at: datetime | None
    names: tuple[str, ...]
    cause: Cause
    pool: str | None = None
    rule: str | None = None
    facts: Facts = NO_FACTS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rep or a sales tool reports. It names its lead by `lead_id` or by any of `names`."""

    cause: Cause
    report: Report
    occurred_at: datetime
    live: bool
    lead_id: str | None = None
    names: tuple[str, ...] = ()
    assignment_id: str | None = None
    epoch: int | None = None
    rep_id: str | None = None
    deal_id: str | None = None
    deal_stage: str | None = None
    reason: str | None = None
    amount: Amount | None = None
    channel: Channel | None = None

    @property
    def names_awaited(self) -> tuple[str, ...]:
        """The names that, once a known lead has one of them, let the outcome be applied."""
        return (name_of_lead(self.lead_id),) if self.lead_id else self.names
