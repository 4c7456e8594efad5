"""What a batch will touch beyond its leads, found before it is decided: what is not locked must not be changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.routing.domain.lead import Lead, Outcome, ScoreSeen
from services.routing.domain.lead_state import EFFECTS, State


@dataclass(frozen=True, slots=True)
class Needs:
    """`pools` whose queue may change, and how many slots of each rep may become free. Rather too much than too little:
    a batch may move a lead several times."""

    pools: frozenset[str]
    freed: Mapping[str, int]


def needs(
    leads: Mapping[str, Lead],
    claims: Mapping[str, str],
    scores: Iterable[ScoreSeen],
    outcomes: Sequence[Outcome],
) -> Needs:
    """What to lock, from the locked leads, the names that lead to them, and everything that may be applied."""
    pools: set[str] = {lead.pool for lead in leads.values() if lead.state is State.HELD and lead.pool}
    for seen in scores:
        if seen.live and seen.pool and seen.qualified_at != leads[seen.lead_id].qualified_at:
            pools.add(seen.pool)
    freed: Counter[str] = Counter()
    for outcome in outcomes:
        if outcome.report not in EFFECTS:
            continue
        for lead_id in named_leads(claims, outcome):
            lead = leads.get(lead_id)
            if lead and lead.pool:
                pools.add(lead.pool)
            if lead and lead.rep:
                freed[lead.rep] += 1
    return Needs(frozenset(pools), freed)


def named_leads(claims: Mapping[str, str], outcome: Outcome) -> set[str]:
    """Every lead that the outcome may turn out to be about."""
    if outcome.lead_id:
        return {outcome.lead_id}
    return {claims[name] for name in outcome.names if name in claims}
