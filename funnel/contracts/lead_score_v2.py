# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from funnel.contracts.instants import Instant

from . import parts


class Consent(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """What the person agreed to. Absent means not asked, which is not a yes."""

    marketing: bool | None = None
    email: bool | None = None
    phone: bool | None = None
    sms: bool | None = None


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
    first_touch: parts.Touch | None = None
    last_touch: parts.Touch | None = None
    consent: Consent | None = None
    account: parts.Account | None = None
