"""What a reported outcome does: ruled on by the state machine, then carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.routing.domain.batch import Batch
from services.routing.domain.deals import Deal, DealStatus, News, deal_key, told
from services.routing.domain.lead import Assignment, AssignmentStatus, Lead, Outcome
from services.routing.domain.lead_state import DEAL_FACTS, EFFECTS, Effect, Report, Stage, State, after
from services.routing.domain.records import DecisionRecord, Kind

_CLOSED_STAGES = frozenset({Stage.WON, Stage.LOST, Stage.DISQUALIFIED})
_IN_POOL = frozenset({State.PENDING, State.HELD, State.ASSIGNED})


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of an outcome: how it is recorded, the stage after it, and its effect on the lead's place."""

    kind: Kind
    stage: Stage
    effect: Effect = Effect.NONE
    reason: str | None = None
    flags: tuple[str, ...] = ()


def apply_outcome(batch: Batch, outcome: Outcome) -> None:
    """Apply the outcome to its lead, or let it wait for one."""
    lead = batch.lead_of(outcome)
    if lead is None:
        batch.wait(outcome)
    else:
        apply_to(batch, lead, outcome)


def apply_to(batch: Batch, lead: Lead, outcome: Outcome) -> None:
    """Apply the outcome to `lead`."""
    owned = batch.assignments_of(lead.lead_id)
    stale = staleness(lead, outcome, owned)
    if outcome.report in DEAL_FACTS:
        deal, news = told(batch.deal(lead.lead_id, deal_key(outcome.deal_id, lead.cycle)), outcome)
        batch.put_deal(deal)
        ruling = rule_on_deal(lead, outcome, deal, news, stale, from_owner(lead, outcome, owned))
    else:
        ruling = rule_on(lead, outcome, stale)
    _carry_out(batch, lead, outcome, ruling)


def staleness(lead: Lead, outcome: Outcome, owned: Sequence[Assignment]) -> str | None:
    """Why the outcome does not come from whoever owns the lead; None when it may."""
    named = {outcome.epoch} - {None}
    if outcome.assignment_id is not None:
        named.add(next((a.epoch for a in owned if a.assignment_id == outcome.assignment_id), 0))
    if named:
        current = owned[-1] if owned else None
        if current is None or named != {current.epoch} or current.status is AssignmentStatus.REVOKED:
            return "stale_epoch"
        return None
    if outcome.rep_id is None or lead.state is not State.ASSIGNED or outcome.rep_id == lead.rep:
        return None
    return "former_rep" if any(a.rep == outcome.rep_id for a in owned) else None


def from_owner(lead: Lead, outcome: Outcome, owned: Sequence[Assignment]) -> bool:
    """Whether the outcome is about the assignment that is active now: it names it, or happened since it began."""
    if lead.state is not State.ASSIGNED or staleness(lead, outcome, owned):
        return False
    if outcome.epoch is not None or outcome.assignment_id is not None:
        return True
    return outcome.occurred_at >= owned[-1].assigned_at


def rule_on(lead: Lead, outcome: Outcome, stale: str | None) -> Ruling:
    """The ruling on an outcome that is no fact about a deal."""
    if stale:
        return Ruling(Kind.STALE, lead.stage, reason=stale, flags=(stale,))
    if not outcome.live and lead.state in _IN_POOL:
        return Ruling(Kind.APPLIED, lead.stage, flags=("history",))
    stage = after(lead.stage, outcome.report)
    if stage is None:
        return Ruling(Kind.STALE, lead.stage, reason=f"illegal_in_{lead.stage}", flags=("illegal",))
    effect = _effect(lead, outcome.report, stage)
    if outcome.report is Report.REJECTED and effect is Effect.NONE and outcome.live:
        return Ruling(Kind.STALE, lead.stage, reason="not_assigned", flags=("not_assigned",))
    return Ruling(Kind.APPLIED, stage, effect)


def rule_on_deal(lead: Lead, outcome: Outcome, deal: Deal, news: News, stale: str | None, owners: bool) -> Ruling:
    """The ruling on a fact about a deal: it counts whoever reports it, and moves the lead only for its owner."""
    flags = (stale,) if stale else ()
    stage = _stage_after_deal(lead.stage, outcome.report, deal)
    if news is News.REPEAT:
        flags = (*flags, "repeat")
        reason = f"deal_is_{deal.status}"
        if owners and outcome.live and stage is not None:  # a colleague reported it first; the owner is done too
            return Ruling(Kind.REPEAT, stage, _effect(lead, outcome.report, stage), reason, flags)
        return Ruling(Kind.REPEAT, lead.stage, reason=reason, flags=flags)
    if news is News.OVERTAKEN:
        flags = (*flags, "overtaken")
    elif stage is None:
        flags = (*flags, "illegal")
    elif not outcome.live and lead.state in _IN_POOL:
        flags = (*flags, "history")
    elif not stale:
        return Ruling(Kind.APPLIED, stage, _effect(lead, outcome.report, stage), flags=flags)
    return Ruling(Kind.APPLIED, lead.stage, flags=flags)


def _stage_after_deal(stage: Stage, report: Report, deal: Deal) -> Stage | None:
    if report is Report.WON and deal.status is DealStatus.LOST:  # the cancellation came first
        report = Report.LOST
    return after(stage, report)


def _effect(lead: Lead, report: Report, stage: Stage) -> Effect:
    """The effect of a report that led to `stage`; a late one that left the stage where it is may have none."""
    effect = EFFECTS.get(report, Effect.NONE)
    has_effect = {
        Effect.NONE: True,
        Effect.REVOKE: lead.state is State.ASSIGNED,
        Effect.CLOSE: stage in _CLOSED_STAGES,
        Effect.RECYCLE: stage is Stage.RECYCLED,
        Effect.REOPEN: stage is Stage.OPPORTUNITY and lead.state is State.CLOSED,
    }
    return effect if has_effect[effect] else Effect.NONE


def _carry_out(batch: Batch, lead: Lead, outcome: Outcome, ruling: Ruling) -> None:
    moved = replace(_placed(batch, lead, outcome, ruling.effect), stage=ruling.stage)
    number = batch.number(lead.pool) if lead.pool and _changes_pool(lead, moved) else None
    batch.record(
        DecisionRecord(
            ruling.kind,
            batch.now,
            outcome.cause,
            moved,
            outcome.live,
            ruling.reason,
            lead.pool if number else None,
            number,
            lead.rep,
            outcome=outcome,
            flags=ruling.flags,
        )
    )
    if number is not None and lead.pool:
        batch.causes[lead.pool] = outcome.cause
    if lead.state is State.ASSIGNED and moved.state is not State.ASSIGNED:
        revoked = ruling.effect is Effect.REVOKE
        status = AssignmentStatus.REVOKED if revoked else AssignmentStatus.CLOSED
        why = f"{outcome.report}: {outcome.reason}" if outcome.reason else str(outcome.report)
        batch.end(batch.leads[lead.lead_id], status, why, outcome, ruling.flags)
    if moved.state is State.PENDING:
        batch.causes[lead.lead_id] = outcome.cause


def _placed(batch: Batch, lead: Lead, outcome: Outcome, effect: Effect) -> Lead:
    """The lead in its new place."""
    if effect is Effect.NONE:
        return lead
    gone = replace(lead, rep=None, held_since=None, held_reason=None)
    if effect is Effect.REVOKE:
        excluded = (*lead.excluded, str(lead.rep))
        return replace(gone, state=State.PENDING, excluded=excluded)
    if effect is Effect.REOPEN:
        owned = batch.assignments_of(lead.lead_id)
        if outcome.live and owned:
            return replace(gone, state=State.PENDING, preferred=owned[-1].rep)
        return replace(gone, state=State.NURTURING)
    state = State.CLOSED if effect is Effect.CLOSE else State.NURTURING
    return replace(gone, state=state, closed_at=_latest(lead.closed_at, outcome.occurred_at))


def _changes_pool(before: Lead, now: Lead) -> bool:
    return before.state is not now.state and (before.state in _IN_POOL or now.state in _IN_POOL)


def _latest(one: datetime | None, other: datetime) -> datetime:
    return other if one is None or other > one else one
