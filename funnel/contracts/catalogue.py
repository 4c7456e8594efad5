# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.
"""What `schemas/` says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from funnel.contracts import (
    ingest_receipt_v1,
    lead_assignment_v1,
    lead_decision_v1,
    lead_event_v1,
    lead_outcome_v1,
    lead_score_v1,
)

STRUCTS: Final[Mapping[str, type[Struct]]] = {
    "ingest_receipt.v1": ingest_receipt_v1.IngestReceipt,
    "lead_assignment.v1": lead_assignment_v1.LeadAssignment,
    "lead_decision.v1": lead_decision_v1.LeadDecision,
    "lead_event.v1": lead_event_v1.LeadEvent,
    "lead_outcome.v1": lead_outcome_v1.LeadOutcome,
    "lead_score.v1": lead_score_v1.LeadScore,
}
"""Schema -> the struct that reads it."""

CARRIED: Final[Mapping[str, tuple[str, ...]]] = {
    "ingest-receipts": ("ingest_receipt.v1",),
    "lead-assignments": ("lead_assignment.v1",),
    "lead-decisions": ("lead_decision.v1",),
    "lead-events": ("lead_event.v1",),
    "lead-outcomes": ("lead_outcome.v1",),
    "lead-scores": ("lead_score.v1",),
}
"""Topic -> the schemas of its records."""

BODY_ALONE: Final[Mapping[str, str]] = {"lead-outcomes": "lead_outcome.v1"}
"""Topic that others may write without our headers -> the schema assumed then."""

INSTANTS: Final[Mapping[str, tuple[str, ...]]] = {
    "ingest_receipt.v1": ("since", "until"),
    "lead_assignment.v1": ("at", "assigned_at", "respond_by"),
    "lead_decision.v1": ("at",),
    "lead_event.v1": ("occurred_at", "received_at"),
    "lead_outcome.v1": ("occurred_at", "meeting_at", "follow_up_at", "received_at"),
    "lead_score.v1": ("qualified_at", "at", "created_at"),
}
"""Schema -> its top-level fields that are times."""

EMPTY_IS_ABSENT: Final = frozenset(["lead_event.v1", "lead_outcome.v1"])
"""Schemas that clients write, where `""` and null stand for an absent field."""
