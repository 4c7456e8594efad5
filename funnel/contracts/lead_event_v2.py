# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from funnel.contracts.instants import Instant

from . import parts


class RememberedTouch(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """A visit that the browser remembers: how the visitor came to the site."""

    at: Instant | None = None
    page_url: str | None = None
    landing_url: str | None = None
    referrer: str | None = None
    utm: parts.Utm | None = None
    click_ids: dict[str, str] | None = None


class Context(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """Where the event happened."""

    page_url: str | None = None
    landing_url: str | None = None
    referrer: str | None = None
    utm: parts.Utm | None = None
    click_ids: dict[str, str] | None = None
    first_touch: RememberedTouch | None = None
    last_touch: RememberedTouch | None = None


ConsentBasis: TypeAlias = Literal["consent", "legitimate_interest"]


class ConsentStatement(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """What the person agreed to, and the proof of it. Absent means not asked, which is not a yes."""

    marketing: bool | None = None
    email: bool | None = None
    phone: bool | None = None
    sms: bool | None = None
    at: Instant | None = None
    text: str | None = None
    basis: ConsentBasis | None = None


class LeadEvent(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """A fact about a person, sent by a form, an ad platform or a marketing tool, as ingest stored it.
    Identified by (source, event_id).
    """

    event_id: Annotated[str, Meta(max_length=128, min_length=1)]
    type: Annotated[str, Meta(max_length=128, pattern="^[a-z][a-z0-9_.]*$(?!\\n)")]
    occurred_at: Instant
    source: Annotated[str, Meta(max_length=128, min_length=1)]
    received_at: Instant
    identity: parts.Identity
    occurred_at_sent: Instant | None = None
    sent_at: Instant | None = None
    mode: parts.Mode = "live"
    person: parts.Person | None = None
    context: Context | None = None
    properties: dict[str, Any] | None = None
    consent: ConsentStatement | None = None
