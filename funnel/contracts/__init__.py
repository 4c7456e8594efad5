# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.
"""What is on our topics: the newest version of each record, older ones in their own modules."""

from funnel.contracts.ingest_receipt_v1 import IngestReceipt
from funnel.contracts.lead_assignment_v1 import AssignmentStatus, Deal, DealStatus, LeadAssignment, Rep
from funnel.contracts.lead_decision_v1 import DecisionKind, LeadDecision, LeadState
from funnel.contracts.lead_event_v1 import Context, LeadEvent
from funnel.contracts.lead_outcome_v1 import LeadOutcome, Voice, VoiceSubject
from funnel.contracts.lead_score_v1 import Cause, Identifier, IdentifierKind, LeadScore
from funnel.contracts.parts import (
    Account,
    Amount,
    Channel,
    Consent,
    Contact,
    Identity,
    Mode,
    OutcomeType,
    Person,
    Reason,
    ReportedOutcome,
    Stage,
    Touch,
    Utm,
)

__all__ = [
    "Account",
    "Amount",
    "AssignmentStatus",
    "Cause",
    "Channel",
    "Consent",
    "Contact",
    "Context",
    "Deal",
    "DealStatus",
    "DecisionKind",
    "Identifier",
    "IdentifierKind",
    "Identity",
    "IngestReceipt",
    "LeadAssignment",
    "LeadDecision",
    "LeadEvent",
    "LeadOutcome",
    "LeadScore",
    "LeadState",
    "Mode",
    "OutcomeType",
    "Person",
    "Reason",
    "Rep",
    "ReportedOutcome",
    "Stage",
    "Touch",
    "Utm",
    "Voice",
    "VoiceSubject",
]
