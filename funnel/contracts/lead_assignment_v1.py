# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from funnel.contracts.instants import Instant

from . import parts


class LeadAssignment(Struct, frozen=True, gc=False, kw_only=True):
    """One rep owns one lead, or no longer does. Identity: assignment_id and status. Order per lead:
    assigned (epoch e), then revoked or closed (e, same assignment_id), then assigned (e + 1).
    """

    assignment_id: str
    lead_id: str
    epoch: Annotated[int, Meta(ge=1)]
    version: Annotated[int, Meta(ge=1)]
    status: parts.AssignmentStatus
    at: Instant
    rep: parts.Rep
    pool: str
    assigned_at: Instant
    config_version: str
    why: str | None = None
    role: str | None = None
    rule: str | None = None
    score: int | None = None
    grade: str | None = None
    reasons: list[parts.Reason] = field(default_factory=list)
    respond_by: Instant | None = None
    previous_assignment_id: str | None = None
    account: parts.Account | None = None
    outcome: parts.ReportedOutcome | None = None
    deals: list[parts.Deal] = field(default_factory=list)
    contact: parts.Contact | None = None
    message: str | None = None
    first_touch: parts.TouchV1 | None = None
    last_touch: parts.TouchV1 | None = None
