"""Taking in what was published about leads and then lost with the end of the database.

The events behind it are read again, perhaps in another order and in other batches. So that they lead to the same leads,
and to versions that no reader has seen, three things of the published records go on: whose an identifier is, the
version, and when the lead qualified. Scores are not taken over: they come out of the events again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import msgspec

from funnel.contracts import LeadScore
from funnel.identifiers import Identifier
from services.scoring.domain.lead import Lead, PublishedBefore
from services.scoring.domain.stage import Stage

PERSONAL_KINDS = frozenset({"email", "phone", "external"})
"""A cookie is left out: what a visitor did before is found by claiming it anew."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What to write: leads lifted to what was published, and what to remember until they are seen again."""

    lifted: tuple[Lead, ...]
    before: tuple[PublishedBefore, ...]
    promised: Mapping[Identifier, str]


def adopt(published: Iterable[LeadScore], leads: Mapping[str, Lead]) -> Adopted:
    """What follows from records that the tables do not know; `leads` are those of them that exist in some version."""
    newest: dict[str, LeadScore] = {}
    for record in published:
        if record.lead_id not in newest or record.version > newest[record.lead_id].version:
            newest[record.lead_id] = record
    return Adopted(
        lifted=tuple(_lifted(leads[lead_id], record) for lead_id, record in newest.items() if lead_id in leads),
        before=tuple(
            PublishedBefore(lead_id, record.version, Stage(record.stage), record.created_at, record.qualified_at)
            for lead_id, record in newest.items()
        ),
        promised={
            Identifier(one.kind, one.value): lead_id
            for lead_id, record in newest.items()
            for one in record.identifiers
            if one.kind in PERSONAL_KINDS
        },
    )


def _lifted(lead: Lead, published: LeadScore) -> Lead:
    """A stage never goes back, and a lead qualifies once: so both may be taken over before their events are read."""
    record = msgspec.structs.replace(
        lead.record,
        version=max(lead.record.version, published.version),
        stage=published.stage,
        qualified=published.qualified,
        qualified_at=published.qualified_at,
    )
    return replace(lead, record=record)
