"""The whole decision on a batch: what arrived is applied in order, then each pool's queue is drained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from funnel import ids
from services.routing.domain.assign import Queued, Verdict, drain
from services.routing.domain.batch import Batch, Changes, Loaded
from services.routing.domain.lead import Assignment, AssignmentStatus, Cause, Lead, Outcome, ScoreSeen
from services.routing.domain.lead_state import State
from services.routing.domain.outcomes import apply_outcome
from services.routing.domain.records import DecisionRecord, Kind
from services.routing.domain.scores import apply_score


def decide(loaded: Loaded, inputs: Sequence[ScoreSeen | Outcome], now: datetime, cause: Cause) -> Changes:
    """What follows from `inputs` at `now`. Every pool in `loaded` is drained; `cause` explains a lead released for
    no reason in the inputs, such as a rep who came back."""
    batch = Batch(loaded, now)
    for one in inputs:
        if isinstance(one, ScoreSeen):
            apply_score(batch, one)
        else:
            apply_outcome(batch, one)
    for name in sorted(batch.pools):
        _drain(batch, name, cause)
    return batch.changes()


def _drain(batch: Batch, name: str, cause: Cause) -> None:
    queue = [
        Queued(
            lead.lead_id,
            lead.score,
            lead.qualified_at or batch.now,
            lead.excluded,
            lead.preferred,
            fresh=lead.state is State.PENDING,
        )
        for lead in batch.leads.values()
        if lead.pool == name and lead.state in (State.PENDING, State.HELD)
    ]
    drained = drain(batch.pools[name], queue, batch.reps, batch.now)
    batch.pools[name] = drained.pool
    batch.reps |= drained.reps
    for verdict in drained.verdicts:
        lead = batch.leads[verdict.lead_id]
        why = batch.causes.get(lead.lead_id) or batch.causes.get(name) or cause
        if verdict.rep is None:
            _hold(batch, lead, verdict, why)
        else:
            _give(batch, lead, verdict, verdict.rep, why)


def _hold(batch: Batch, lead: Lead, verdict: Verdict, cause: Cause) -> None:
    held = replace(lead, state=State.HELD, held_since=batch.now, held_reason=str(verdict.reason))
    batch.record(_decision(Kind.HELD, held, verdict, cause))


def _give(batch: Batch, lead: Lead, verdict: Verdict, rep: str, cause: Cause) -> None:
    released = lead.state is State.HELD
    why = f"rule {lead.rule}, pool {lead.pool}, {verdict.reason}"
    if released:
        why += f"; was held: {lead.held_reason}"
    lead = replace(
        lead,
        state=State.ASSIGNED,
        epoch=lead.epoch + 1,
        rep=rep,
        held_since=None,
        held_reason=None,
        preferred=None,
    )
    assignment = Assignment(
        lead.lead_id,
        lead.epoch,
        ids.assignment_id(lead.lead_id, lead.epoch),
        rep,
        str(lead.pool),
        lead.rule,
        AssignmentStatus.ACTIVE,
        batch.now,
    )
    if released:
        batch.record(_decision(Kind.RELEASED, lead, verdict, cause))
        batch.begin(batch.leads[lead.lead_id], assignment, why, cause)
    else:
        batch.record(_decision(Kind.ASSIGNED, batch.begin(lead, assignment, why, cause), verdict, cause))


def _decision(kind: Kind, lead: Lead, verdict: Verdict, cause: Cause) -> DecisionRecord:
    return DecisionRecord(
        kind,
        verdict.at,
        cause,
        lead,
        live=True,
        reason=str(verdict.reason),
        pool=lead.pool,
        number=verdict.number,
        rep=verdict.rep,
        candidates=verdict.candidates,
    )
