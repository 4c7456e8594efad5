"""What a batch leaves behind: facts to publish and rows of the decision table, in the order in which they happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.routing.domain.assign import Candidate
from services.routing.domain.deals import Deal
from services.routing.domain.lead import Assignment, Cause, Lead, Outcome
from services.routing.domain.pool import Rep


class Kind(StrEnum):
    """What was decided. `ASSIGNED` is kept, not published: the assignment record says it."""

    ASSIGNED = "assigned"
    RELEASED = "released"
    HELD = "held"
    APPLIED = "outcome.applied"
    STALE = "outcome.stale"
    WAITING = "outcome.waiting"
    REPEAT = "outcome.repeat"
    LOST = "lost"
    """A number of a pool whose decision a failover took away before anybody was told. Kept, not published."""


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One decision. `lead` is the lead after it, None while an outcome waits for its lead.

    `number` is the gapless number within `pool`; a decision that changes a pool's queue or a rep's load has both.
    """

    kind: Kind
    at: datetime
    cause: Cause
    lead: Lead | None
    live: bool
    reason: str | None = None
    pool: str | None = None
    number: int | None = None
    rep: str | None = None
    candidates: tuple[Candidate, ...] = ()
    outcome: Outcome | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AssignmentRecord:
    """An assignment that began or ended. `lead` is the lead after it."""

    at: datetime
    cause: Cause
    lead: Lead
    assignment: Assignment
    rep: Rep
    why: str
    outcome: Outcome | None = None
    flags: tuple[str, ...] = ()
    deals: tuple[Deal, ...] = ()


Record = DecisionRecord | AssignmentRecord
