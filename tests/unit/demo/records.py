"""Records of the topics, as short as tests like them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from funnel.contracts import Cause, LeadAssignment, LeadDecision, LeadScore, LeadState, Reason, Rep

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)


def score(lead: str, *, qualified: bool = True, version: int = 1) -> LeadScore:
    return LeadScore(
        lead_id=lead,
        version=version,
        stage="mql" if qualified else "engaged",
        score=55 if qualified else 30,
        fit=5,
        engagement=50 if qualified else 25,
        grade="B",
        reasons=[Reason(rule="company known", points=5), Reason(rule="form submitted", points=50)],
        qualified=qualified,
        at=NOW,
        created_at=NOW,
        config_version="1",
        caused_by=Cause(source="website", event_id="1"),
    )


def assigned(
    lead: str,
    epoch: int,
    *,
    rep: str = "kato",
    status: Literal["assigned", "revoked", "closed"] = "assigned",
    version: int | None = None,
) -> LeadAssignment:
    return LeadAssignment(
        assignment_id=f"{lead}/{epoch}",
        lead_id=lead,
        epoch=epoch,
        version=version or 2 * epoch + (status != "assigned"),
        status=status,
        why="rotation",
        at=NOW,
        rep=Rep(id=rep, name=rep.title()),
        pool="inside",
        assigned_at=NOW,
        config_version="1",
    )


def held(lead: str, *, reason: str | None = "all_at_capacity", version: int = 2) -> LeadDecision:
    return LeadDecision(
        decision_id=f"{lead}:{version}",
        lead_id=lead,
        kind="held",
        version=version,
        state="held",
        stage="mql",
        pool="inside",
        number=1,
        reason=reason,
        at=NOW,
        config_version="1",
    )


def applied(lead: str, state: LeadState, *, version: int) -> LeadDecision:
    return LeadDecision(
        decision_id=f"{lead}:{version}",
        lead_id=lead,
        kind="outcome.applied",
        version=version,
        state=state,
        stage="lost" if state == "closed" else "sal",
        at=NOW,
        config_version="1",
    )
