"""Between the records on the topics and the values routing decides on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from funnel import contracts, ids
from funnel.contracts import LeadAssignment, LeadDecision, LeadOutcome, LeadScore, ReportedOutcome
from funnel.contracts.registry import decoder
from funnel.envelope import Outgoing, outgoing
from funnel.errors import Poison
from funnel.identifiers import identifiers
from funnel.spine import Decoder, Message
from services.routing.domain.deals import Deal
from services.routing.domain.lead import AssignmentStatus, Cause, Facts, Outcome, ScoreSeen
from services.routing.domain.lead_state import REASON_REQUIRED, Report, Stage
from services.routing.domain.records import AssignmentRecord, DecisionRecord, Kind, Record
from services.routing.domain.rules import RoutingRules, RuleFacts, route

SERVICE = "routing"
ASSIGNMENTS = "lead-assignments"
DECISIONS = "lead-decisions"
NAMING_KINDS = frozenset({"email", "phone", "external"})
"""Identifiers by which a sales tool can name a lead; it knows nothing of cookies."""

_decode_score = decoder("lead-scores")
_decode_outcome = decoder("lead-outcomes")


def decode_score(value: bytes, dataschema: str | None) -> LeadScore:
    """A record of lead-scores. Raises Poison or UnknownVersion."""
    score: LeadScore = _decode_score(value, dataschema)
    _require_uuid(score.lead_id)
    return score


def decode_outcome(value: bytes, dataschema: str | None) -> LeadOutcome:
    """A record of lead-outcomes, ours or a sales tool's own. Raises Poison or UnknownVersion."""
    outcome: LeadOutcome = _decode_outcome(value, dataschema)
    if outcome.lead_id is not None:
        _require_uuid(outcome.lead_id)
    elif not _names(outcome):
        raise Poison("The outcome names no lead: give lead_id, or an e-mail, phone or external id in identity.")
    if outcome.type in REASON_REQUIRED and not outcome.reason:
        raise Poison(f"reason: an outcome of type {outcome.type} needs one.")
    return outcome


DECODERS: Mapping[str, Decoder] = {"lead-scores": decode_score, "lead-outcomes": decode_outcome}
"""The topics routing reads."""


def score_seen(message: Message[LeadScore], rules: RoutingRules) -> ScoreSeen:
    """What a record of scoring says, and where the rules send its lead."""
    score = message.value
    rule = route(rules, rule_facts(score)) if score.qualified else None
    return ScoreSeen(
        lead_id=_canonical(score.lead_id),
        version=score.version,
        stage=Stage(score.stage),
        score=score.score,
        live=score.mode == "live",
        qualified_at=(score.qualified_at or score.at) if score.qualified else None,
        names=tuple(f"{one.kind}:{one.value}" for one in score.identifiers if one.kind in NAMING_KINDS),
        cause=Cause(message.source, message.event_id),
        pool=rule.pool if rule else None,
        rule=rule.rule if rule else None,
        facts=Facts(
            grade=score.grade,
            reasons=tuple(score.reasons),
            account=score.account,
            contact=score.contact,
            message=score.message,
            first_touch=score.first_touch,
            last_touch=score.last_touch,
        ),
    )


def rule_facts(score: LeadScore) -> RuleFacts:
    """What the conditions of the rules may look at."""
    person = score.person or contracts.Person()
    email = (score.contact.email if score.contact else None) or ""
    return {
        "score": score.score,
        "fit": score.fit,
        "engagement": score.engagement,
        "grade": score.grade,
        "origin": score.origin,
        "title": person.title,
        "department": person.department,
        "company": person.company,
        "corporate_number": person.corporate_number,
        "employees": person.employees,
        "industry": person.industry,
        "country": person.country,
        "region": person.region,
        "city": person.city,
        "postal_code": person.postal_code,
        "email_domain": email.rpartition("@")[2] or None,
    }


def outcome_seen(message: Message[LeadOutcome]) -> Outcome:
    """An outcome as routing takes it. Without `occurred_at` it happened when it was received, or written to the log."""
    value = message.value
    written_at = datetime.fromtimestamp(max(0, message.record.timestamp) / 1000, UTC)
    return Outcome(
        cause=Cause(message.source, message.event_id),
        report=Report(value.type),
        occurred_at=value.occurred_at or value.received_at or written_at,
        live=value.mode == "live",
        lead_id=_canonical(value.lead_id) if value.lead_id else None,
        names=() if value.lead_id else _names(value),
        assignment_id=value.assignment_id,
        epoch=value.epoch,
        rep_id=value.rep_id,
        deal_id=value.deal_id,
        deal_stage=value.deal_stage,
        reason=value.reason,
        amount=value.amount,
        channel=value.channel,
    )


def published(records: Iterable[Record], config_version: str, traces: Mapping[Cause, str | None]) -> list[Outgoing]:
    """The records to publish, in order. `traces`: trace context by cause."""
    found: list[Outgoing] = []
    for record in records:
        if isinstance(record, AssignmentRecord):
            found.append(_assignment(record, config_version, traces.get(record.cause)))
        elif record.kind is not Kind.ASSIGNED:
            found.append(_decision(record, config_version, traces.get(record.cause)))
    return found


def decision_id(record: DecisionRecord) -> str:
    """The decision's id, derived from what makes it unique."""
    if record.number is not None:
        return ids.decision_id(record.pool, record.number)
    if record.lead is not None:
        return ids.decision_id(record.lead.lead_id, record.lead.version)
    return ids.decision_id(record.kind, record.cause.source, record.cause.event_id)


def reported(outcome: Outcome, flags: Iterable[str]) -> ReportedOutcome:
    """An outcome in the form that assignment and decision records carry."""
    return ReportedOutcome(
        source=outcome.cause.source,
        event_id=outcome.cause.event_id,
        type=outcome.report.value,
        occurred_at=outcome.occurred_at,
        deal_id=outcome.deal_id,
        deal_stage=outcome.deal_stage,
        reason=outcome.reason,
        amount=outcome.amount,
        rep_id=outcome.rep_id,
        channel=outcome.channel,
        flags=list(flags),
    )


def _assignment(record: AssignmentRecord, config_version: str, traceparent: str | None) -> Outgoing:
    lead, assignment = record.lead, record.assignment
    began = assignment.status is AssignmentStatus.ACTIVE
    status = cast(contracts.AssignmentStatus, "assigned" if began else assignment.status.value)
    value = LeadAssignment(
        assignment_id=assignment.assignment_id,
        lead_id=lead.lead_id,
        epoch=assignment.epoch,
        version=lead.version,
        status=status,
        why=record.why,
        at=record.at,
        rep=contracts.Rep(id=record.rep.rep_id, name=record.rep.name, email=record.rep.email or None),
        pool=assignment.pool,
        rule=assignment.rule,
        score=lead.score,
        grade=lead.facts.grade,
        reasons=list(lead.facts.reasons),
        assigned_at=assignment.assigned_at,
        previous_assignment_id=(
            ids.assignment_id(lead.lead_id, assignment.epoch - 1) if assignment.epoch > 1 else None
        ),
        account=lead.facts.account,
        outcome=reported(record.outcome, record.flags) if record.outcome else None,
        deals=[_deal(deal) for deal in record.deals],
        contact=lead.facts.contact,
        message=lead.facts.message,
        first_touch=lead.facts.first_touch,
        last_touch=lead.facts.last_touch,
        config_version=config_version,
    )
    return outgoing(
        ASSIGNMENTS,
        value,
        key=lead.lead_id,
        ce_id=f"{assignment.assignment_id}:{status}",
        ce_type=f"lead.{status}",
        ce_source=SERVICE,
        at=record.at,
        subject=lead.lead_id,
        dataschema="lead_assignment.v2",
        traceparent=traceparent,
    )


def _decision(record: DecisionRecord, config_version: str, traceparent: str | None) -> Outgoing:
    lead, identity = record.lead, decision_id(record)
    epoch = lead.epoch if lead and lead.epoch else None
    value = LeadDecision(
        decision_id=identity,
        kind=cast(contracts.DecisionKind, record.kind.value),
        at=record.at,
        config_version=config_version,
        lead_id=lead.lead_id if lead else None,
        version=lead.version if lead else None,
        state=cast(contracts.LeadState, lead.state.value) if lead else None,
        stage=lead.stage.value if lead else None,
        pool=record.pool,
        number=record.number,
        reason=record.reason,
        assignment_id=ids.assignment_id(lead.lead_id, epoch) if lead and epoch else None,
        epoch=epoch,
        mode="live" if record.live else "history",
        outcome=reported(record.outcome, record.flags) if record.outcome else None,
    )
    return outgoing(
        DECISIONS,
        value,
        key=lead.lead_id if lead else identity,
        ce_id=identity,
        ce_type=record.kind.value if record.outcome else f"lead.{record.kind.value}",
        ce_source=SERVICE,
        at=record.at,
        subject=lead.lead_id if lead else identity,
        dataschema="lead_decision.v1",
        traceparent=traceparent,
    )


def _deal(deal: Deal) -> contracts.Deal:
    return contracts.Deal(deal_id=deal.key, status=deal.status.value, deal_stage=deal.deal_stage, amount=deal.amount)


def _names(outcome: LeadOutcome) -> tuple[str, ...]:
    identity = outcome.identity or contracts.Identity()
    found = identifiers(identity.email, identity.phone, identity.external_ids, None)
    return tuple(f"{one.kind}:{one.value}" for one in found)


def _require_uuid(lead_id: str) -> None:
    try:
        UUID(lead_id)
    except ValueError as error:
        raise Poison("lead_id: not a UUID.") from error


def _canonical(lead_id: str) -> str:
    """The one way of writing a UUID that ids here are compared in."""
    return str(UUID(lead_id))
