"""What a record of scoring does in routing: a new qualification puts the lead into its pool's queue."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.routing.domain.batch import Batch
from services.routing.domain.lead import Lead, ScoreSeen, name_of_lead
from services.routing.domain.lead_state import Stage, State
from services.routing.domain.outcomes import apply_to

MARKETING_STAGES = frozenset({Stage.NEW, Stage.ENGAGED, Stage.NURTURE, Stage.MARKETING_QUALIFIED})
"""While a lead is in one of these, scoring says which."""

_NEVER_AGAIN = frozenset({Stage.DISQUALIFIED, Stage.SUPPRESSED})
_WITH_SALES = frozenset({State.PENDING, State.HELD, State.ASSIGNED})


def apply_score(batch: Batch, seen: ScoreSeen) -> None:
    """Take in a record of lead-scores; one that is not newer than the last changes nothing."""
    lead = batch.leads[seen.lead_id]
    if seen.version <= lead.score_version:
        return
    batch.leads[lead.lead_id] = replace(
        lead,
        state=State.NURTURING if lead.state is State.UNKNOWN else lead.state,
        stage=seen.stage if lead.stage in MARKETING_STAGES else lead.stage,
        score_version=seen.version,
        score=seen.score,
        facts=seen.facts if lead.state in _WITH_SALES else lead.facts,
    )
    for outcome in batch.take_waiting((name_of_lead(lead.lead_id), *seen.names)):
        apply_to(batch, batch.leads[lead.lead_id], outcome)
    lead = batch.leads[lead.lead_id]
    if starts(lead, seen):
        batch.leads[lead.lead_id] = queued(lead, seen)
        batch.causes[lead.lead_id] = seen.cause


def starts(lead: Lead, seen: ScoreSeen) -> bool:
    """Whether the record brings a qualification that routing has to act on.

    History never does. Neither does a qualification acted on before, or one from before the lead was closed or
    recycled: the records of one lead repeat it for ever.
    """
    if not seen.live or seen.pool is None or lead.stage in _NEVER_AGAIN:
        return False
    return (
        lead.state in (State.UNKNOWN, State.NURTURING, State.CLOSED)
        and _later(seen.qualified_at, lead.qualified_at)
        and _later(seen.qualified_at, lead.closed_at)
    )


def _later(at: datetime | None, than: datetime | None) -> bool:
    return at is not None and (than is None or at > than)


def queued(lead: Lead, seen: ScoreSeen) -> Lead:
    """The lead in its pool's queue, by the qualification that `seen` brings."""
    anew = lead.qualified_at is not None or lead.closed_at is not None
    return replace(
        lead,
        state=State.PENDING,
        stage=Stage.MARKETING_QUALIFIED if anew or lead.stage in MARKETING_STAGES else lead.stage,
        cycle=lead.cycle + anew,
        excluded=() if anew else lead.excluded,
        preferred=None,
        pool=seen.pool,
        rule=seen.rule,
        qualified_at=seen.qualified_at,
        facts=seen.facts,
    )
