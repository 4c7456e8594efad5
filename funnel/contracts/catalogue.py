# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.
"""What `schemas/` says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from funnel.contracts import (
    ingest_receipt_v1,
    lead_assignment_v1,
    lead_assignment_v2,
    lead_decision_v1,
    lead_event_v1,
    lead_event_v2,
    lead_outcome_v1,
    lead_score_v1,
    lead_score_v2,
)

STRUCTS: Final[Mapping[str, type[Struct]]] = {
    "ingest_receipt.v1": ingest_receipt_v1.IngestReceipt,
    "lead_assignment.v1": lead_assignment_v1.LeadAssignment,
    "lead_assignment.v2": lead_assignment_v2.LeadAssignment,
    "lead_decision.v1": lead_decision_v1.LeadDecision,
    "lead_event.v1": lead_event_v1.LeadEvent,
    "lead_event.v2": lead_event_v2.LeadEvent,
    "lead_outcome.v1": lead_outcome_v1.LeadOutcome,
    "lead_score.v1": lead_score_v1.LeadScore,
    "lead_score.v2": lead_score_v2.LeadScore,
}
"""Schema -> the struct that reads it."""

CARRIED: Final[Mapping[str, tuple[str, ...]]] = {
    "ingest-receipts": ("ingest_receipt.v1",),
    "lead-assignments": ("lead_assignment.v1", "lead_assignment.v2"),
    "lead-decisions": ("lead_decision.v1",),
    "lead-events": ("lead_event.v1", "lead_event.v2"),
    "lead-outcomes": ("lead_outcome.v1",),
    "lead-scores": ("lead_score.v1", "lead_score.v2"),
}
"""Topic -> the schemas of its records."""

BODY_ALONE: Final[Mapping[str, str]] = {"lead-outcomes": "lead_outcome.v1"}
"""Topic that others may write without our headers -> the schema assumed then."""

INSTANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ingest_receipt.v1": ("since", "until"),
    "lead_assignment.v1": (
        "at",
        "assigned_at",
        "respond_by",
        "outcome.occurred_at",
        "first_touch.occurred_at",
        "last_touch.occurred_at",
    ),
    "lead_assignment.v2": (
        "at",
        "assigned_at",
        "respond_by",
        "outcome.occurred_at",
        "first_touch.occurred_at",
        "last_touch.occurred_at",
    ),
    "lead_decision.v1": ("at", "outcome.occurred_at"),
    "lead_event.v1": ("occurred_at", "received_at"),
    "lead_event.v2": (
        "occurred_at",
        "occurred_at_sent",
        "sent_at",
        "received_at",
        "context.first_touch.at",
        "context.last_touch.at",
        "consent.at",
    ),
    "lead_outcome.v1": ("occurred_at", "meeting_at", "follow_up_at", "received_at"),
    "lead_score.v1": ("qualified_at", "at", "created_at", "first_touch.occurred_at", "last_touch.occurred_at"),
    "lead_score.v2": ("qualified_at", "at", "created_at", "first_touch.occurred_at", "last_touch.occurred_at"),
}
"""Schema -> its fields that are times; `consent.at` is one of a part."""

EMPTY_IS_ABSENT: Final = frozenset(["lead_event.v1", "lead_event.v2", "lead_outcome.v1"])
"""Schemas that clients write, where `""` and null stand for an absent field."""
