"""Records of scoring and routing as tests need them: short to write, complete to decode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from funnel.contracts import (
    Amount,
    AssignmentStatus,
    Cause,
    Context,
    Identity,
    IngestReceipt,
    LeadAssignment,
    LeadDecision,
    LeadEvent,
    LeadScore,
    Rep,
    ReportedOutcome,
    Utm,
)

LEAD = "11111111-1111-5111-8111-111111111111"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def event(
    type_: str = "page.viewed", *, at: datetime = NOON, utm_source: str | None = None, **fields: Any
) -> LeadEvent:
    if utm_source is not None:
        fields["context"] = Context(utm=Utm(source=utm_source))
    return LeadEvent(
        event_id=fields.pop("event_id", "e-1"),
        type=type_,
        occurred_at=at,
        source=fields.pop("source", "web"),
        received_at=at,
        identity=Identity(visitor_id="v-1"),
        **fields,
    )


def score(version: int = 1, *, lead_id: str = LEAD, qualified: bool = False, **fields: Any) -> LeadScore:
    at = NOON + timedelta(seconds=version)
    return LeadScore(
        lead_id=lead_id,
        version=version,
        stage=fields.pop("stage", "mql" if qualified else "engaged"),
        score=50 if qualified else 1,
        fit=0,
        engagement=50 if qualified else 1,
        qualified=qualified,
        qualified_at=fields.pop("qualified_at", at if qualified else None),
        at=at,
        created_at=fields.pop("created_at", NOON),
        config_version="c1",
        caused_by=Cause(source="web", event_id="e-1"),
        **fields,
    )


def assignment(
    version: int, status: AssignmentStatus = "assigned", *, epoch: int = 1, lead_id: str = LEAD, **fields: Any
) -> LeadAssignment:
    return LeadAssignment(
        assignment_id=f"{lead_id}/{epoch}",
        lead_id=lead_id,
        epoch=epoch,
        version=version,
        status=status,
        at=NOON + timedelta(minutes=version),
        rep=Rep(id="r-1"),
        pool="inside",
        assigned_at=NOON,
        config_version="c1",
        **fields,
    )


def decision(
    version: int | None, kind: Any = "outcome.applied", *, lead_id: str | None = LEAD, **fields: Any
) -> LeadDecision:
    return LeadDecision(
        decision_id=fields.pop("decision_id", f"{lead_id}/{version}/{kind}"),
        kind=kind,
        at=NOON + timedelta(minutes=version or 0),
        config_version="c1",
        lead_id=lead_id,
        version=version,
        **fields,
    )


def receipt(number: int = 1, *, events: int = 0, outcomes: int = 0, process: str = "p-1") -> IngestReceipt:
    until = NOON + timedelta(minutes=number)
    return IngestReceipt(
        process=process,
        number=number,
        since=until - timedelta(minutes=1),
        until=until,
        events=events,
        outcomes=outcomes,
    )


def outcome(type_: Any, *, at: datetime = NOON, yen: str | None = None, **fields: Any) -> ReportedOutcome:
    amount = Amount(value=yen, currency="JPY") if yen is not None else None
    return ReportedOutcome(source="crm", event_id="o-1", type=type_, occurred_at=at, amount=amount, **fields)
