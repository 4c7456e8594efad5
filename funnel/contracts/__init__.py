# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.
"""What is on our topics: the newest version of each record, older ones in their own modules."""

from funnel.contracts.ingest_receipt_v1 import IngestReceipt
from funnel.contracts.lead_assignment_v2 import LeadAssignment
from funnel.contracts.lead_decision_v1 import DecisionKind, LeadDecision, LeadState
from funnel.contracts.lead_event_v2 import ConsentBasis, ConsentStatement, Context, LeadEvent, RememberedTouch
from funnel.contracts.lead_outcome_v1 import LeadOutcome, Voice, VoiceSubject
from funnel.contracts.lead_score_v2 import Consent, LeadScore
from funnel.contracts.parts import (
    Account,
    Amount,
    AssignmentStatus,
    Cause,
    Channel,
    Contact,
    Deal,
    DealStatus,
    Identifier,
    IdentifierKind,
    Identity,
    Mode,
    OutcomeType,
    Person,
    Reason,
    Rep,
    ReportedOutcome,
    Stage,
    Touch,
    TouchV1,
    Utm,
)

__all__ = [
    "Account",
    "Amount",
    "AssignmentStatus",
    "Cause",
    "Channel",
    "Consent",
    "ConsentBasis",
    "ConsentStatement",
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
    "RememberedTouch",
    "Rep",
    "ReportedOutcome",
    "Stage",
    "Touch",
    "TouchV1",
    "Utm",
    "Voice",
    "VoiceSubject",
]
