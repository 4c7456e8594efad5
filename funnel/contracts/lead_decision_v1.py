# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from funnel.contracts.instants import Instant

from . import parts

LeadState: TypeAlias = Literal["nurturing", "pending", "assigned", "held", "merged", "suppressed", "closed"]


DecisionKind: TypeAlias = Literal[
    "held", "released", "outcome.applied", "outcome.stale", "outcome.waiting", "outcome.repeat", "breached"
]


class LeadDecision(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """What routing decided about a lead or an outcome, other than giving or taking it (lead-assignments
    says that). Identity: decision_id.
    """

    decision_id: str
    kind: DecisionKind
    at: Instant
    config_version: str
    lead_id: str | None = None
    version: Annotated[int, Meta(ge=1)] | None = None
    state: LeadState | None = None
    stage: parts.Stage | None = None
    pool: str | None = None
    number: Annotated[int, Meta(ge=1)] | None = None
    reason: str | None = None
    assignment_id: str | None = None
    epoch: Annotated[int, Meta(ge=1)] | None = None
    mode: parts.Mode = "live"
    outcome: parts.ReportedOutcome | None = None
