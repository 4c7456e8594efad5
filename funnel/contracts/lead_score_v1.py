# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

from funnel.contracts.instants import Instant

from . import parts

IdentifierKind: TypeAlias = Literal["email", "phone", "visitor", "external"]


class Identifier(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """One identifier that belongs to the lead, normalised."""

    kind: IdentifierKind
    value: str


class Cause(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """The event that caused this record."""

    source: str
    event_id: str


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
    caused_by: Cause
    previous_stage: parts.Stage | None = None
    grade: str | None = None
    reasons: list[parts.Reason] = field(default_factory=list)
    qualified_at: Instant | None = None
    mode: parts.Mode = "live"
    origin: str | None = None
    identifiers: list[Identifier] = field(default_factory=list)
    contact: parts.Contact | None = None
    person: parts.Person | None = None
    message: str | None = None
    first_touch: parts.Touch | None = None
    last_touch: parts.Touch | None = None
    consent: parts.Consent | None = None
    account: parts.Account | None = None
