# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

from funnel.contracts.instants import Instant

from . import parts

VoiceSubject: TypeAlias = Literal["customer", "competitor", "company"]


class Voice(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """What the customer said, kept for marketing (3C)."""

    text: str | None = None
    about: VoiceSubject | None = None
    competitor: str | None = None
    tags: list[str] = field(default_factory=list)


class LeadOutcome(Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """What a rep or a sales tool reports about a lead. Sales tools may write it to the topic themselves:
    then only type and a way to find the lead are needed.
    """

    type: parts.OutcomeType
    event_id: Annotated[str, Meta(max_length=128, min_length=1)] | None = None
    lead_id: str | None = None
    identity: parts.Identity | None = None
    assignment_id: str | None = None
    epoch: Annotated[int, Meta(ge=1, le=2147483647)] | None = None
    rep_id: str | None = None
    occurred_at: Instant | None = None
    channel: parts.Channel | None = None
    deal_id: str | None = None
    deal_stage: str | None = None
    reason: str | None = None
    note: str | None = None
    meeting_at: Instant | None = None
    follow_up_at: Instant | None = None
    amount: parts.Amount | None = None
    voice: Voice | None = None
    source: Annotated[str, Meta(max_length=128, min_length=1)] | None = None
    received_at: Instant | None = None
    mode: parts.Mode = "live"
