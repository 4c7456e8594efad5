# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from funnel.contracts.instants import Instant

from . import parts


class LeadScore(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """State of one lead after a change, published for every change. Identity: lead_id and version."""

    lead_id: str
    version: Annotated[int, Meta(ge=1)]
    stage: parts.Stage
    score: int
    fit: int
    engagement: int
    qualified: bool
    at: Instant
    created_at: Instant
    config_version: str
    caused_by: parts.Cause
    previous_stage: parts.Stage | None = None
    grade: str | None = None
    reasons: list[parts.Reason] = field(default_factory=list)
    qualified_at: Instant | None = None
    mode: parts.Mode = "live"
    origin: str | None = None
    identifiers: list[parts.Identifier] = field(default_factory=list)
    contact: parts.Contact | None = None
    person: parts.Person | None = None
    message: str | None = None
    first_touch: parts.TouchV1 | None = None
    last_touch: parts.TouchV1 | None = None
    consent: parts.Consent | None = None
    account: parts.Account | None = None
