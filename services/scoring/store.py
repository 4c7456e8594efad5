"""Scoring's tables. Every function is one statement for a whole batch, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from funnel.contracts import LeadScore
from funnel.identifiers import Identifier
from funnel.postgres import Row, Transaction, load_queries
from services.scoring.domain.adoption import Adopted
from services.scoring.domain.decide import Change
from services.scoring.domain.identity import Conflict
from services.scoring.domain.lead import Evidence, Lead, PublishedBefore
from services.scoring.domain.stage import Stage
from services.scoring.domain.touch import Details, Moment, Touched

_QUERIES = load_queries("services.scoring.sql")

_encoder = msgspec.json.Encoder()
_records = msgspec.json.Decoder(LeadScore)
_evidence = msgspec.json.Decoder(Evidence)
_details = msgspec.json.Decoder(Details)


async def lock_identifiers(
    tx: Transaction, wanted: Collection[Identifier]
) -> tuple[dict[Identifier, str | None], dict[Identifier, str]]:
    """Make the rows of `wanted` exist, lock them in order, and say which lead has claimed each.

    The second answer: those that nobody has claimed, and the lead that had when it was published.
    """
    kinds, values = [one.kind for one in wanted], [one.value for one in wanted]
    await tx.execute(_QUERIES["insert_identifiers"], kinds, values)
    rows = await tx.fetch(_QUERIES["lock_identifiers"], kinds, values)
    bindings = {Identifier(row["kind"], row["value"]): row["lead_id"] for row in rows}
    promised = {
        Identifier(row["kind"], row["value"]): row["promised_to"]
        for row in rows
        if row["promised_to"] is not None and row["lead_id"] is None
    }
    return bindings, promised


async def lock_published_before(tx: Transaction, lead_ids: Collection[str]) -> dict[str, PublishedBefore]:
    """How the leads stood on the topic before a failover, locked in order."""
    rows = await tx.fetch(_QUERIES["lock_published_before"], lead_ids) if lead_ids else []
    return {row["lead_id"]: PublishedBefore(**{**row, "stage": Stage(row["stage"])}) for row in rows}


async def known_versions(tx: Transaction, lead_ids: Collection[str]) -> dict[str, int]:
    """The version to which each lead is known; none for one that is not."""
    return {row["lead_id"]: row["version"] for row in await tx.fetch(_QUERIES["versions"], lead_ids)}


async def save_adopted(tx: Transaction, adopted: Adopted, now: datetime) -> None:
    """Write what was published before a failover."""
    await save_leads(tx, [Change(lead, _encoder.encode(lead.record)) for lead in adopted.lifted], {}, now)
    await tx.execute(
        _QUERIES["put_published_before"],
        [one.lead_id for one in adopted.before],
        [one.version for one in adopted.before],
        [one.stage for one in adopted.before],
        [one.created_at for one in adopted.before],
        [one.qualified_at for one in adopted.before],
    )
    await tx.execute(
        _QUERIES["promise_identifiers"],
        [one.kind for one in adopted.promised],
        [one.value for one in adopted.promised],
        list(adopted.promised.values()),
    )


async def lock_leads(tx: Transaction, lead_ids: Collection[str]) -> None:
    """Lock leads in order."""
    if lead_ids:
        await tx.execute(_QUERIES["lock_leads"], lead_ids)


async def load_leads(tx: Transaction, lead_ids: Collection[str]) -> dict[str, Lead]:
    """Leads by id."""
    rows = await tx.fetch(_QUERIES["load_leads"], lead_ids) if lead_ids else []
    return {lead.record.lead_id: lead for lead in map(_lead, rows)}


async def show_lead(tx: Transaction, lead_id: str) -> Lead | None:
    """One lead, not locked."""
    row = await tx.fetch_one(_QUERIES["show_lead"], lead_id)
    return None if row is None else _lead(row)


async def find_lead(tx: Transaction, identifier: Identifier) -> str | None:
    """The id of the lead that claimed `identifier`."""
    lead_id: str | None = await tx.fetch_value(_QUERIES["find_lead"], identifier.kind, identifier.value)
    return lead_id


async def page_of_touches(tx: Transaction, subjects: Collection[str], after: Moment, limit: int) -> list[Touched]:
    """At most `limit` touches of `subjects` in order, after the one at `after`."""
    rows = await tx.fetch(_QUERIES["page_of_touches"], subjects, *after, limit)
    return [_touched(row) for row in rows]


async def load_touches(tx: Transaction, subjects: Collection[str]) -> dict[str, list[Touched]]:
    """All touches of leads or visitors, by subject."""
    touches: dict[str, list[Touched]] = {}
    for row in await tx.fetch(_QUERIES["load_touches"], subjects) if subjects else []:
        touches.setdefault(row["subject"], []).append(_touched(row))
    return touches


async def save_leads(
    tx: Transaction, changes: Sequence[Change], claimed: Mapping[Identifier, str], now: datetime
) -> None:
    """Write changed leads and what they claimed. Nothing is claimed but by a lead that changes."""
    if not changes:
        return
    records = [change.lead.record for change in changes]
    await tx.execute(
        _QUERIES["save_leads"],
        [record.lead_id for record in records],
        [record.version for record in records],
        [record.stage for record in records],
        [record.score for record in records],
        [record.created_at for record in records],
        [now] * len(records),
        [change.published.decode() for change in changes],
        [_json(change.lead.evidence) for change in changes],
        [identifier.kind for identifier in claimed],
        [identifier.value for identifier in claimed],
        list(claimed.values()),
    )


async def save_touches(tx: Transaction, touches: Sequence[tuple[str, Touched]]) -> None:
    """Keep touches, each under its subject."""
    rows = [
        (subject, touch.occurred_at, touch.event_id, touch.source, touch.type, _json(touch.details))
        for subject, touch in touches
    ]
    await tx.copy("touch", ("subject", "occurred_at", "event_id", "source", "type", "details"), rows)


async def save_conflicts(tx: Transaction, conflicts: Iterable[Conflict]) -> None:
    """Remember conflicts, once per pair of leads and identifier."""
    seen = list(conflicts)
    if seen:
        await tx.execute(
            _QUERIES["save_conflicts"],
            [one.lead_id for one in seen],
            [one.other_lead_id for one in seen],
            [one.identifier.kind for one in seen],
            [one.identifier.value for one in seen],
            [one.source for one in seen],
            [one.event_id for one in seen],
        )


def _lead(row: Row) -> Lead:
    return Lead(_records.decode(row["record"]), _evidence.decode(row["evidence"]))


def _touched(row: Row) -> Touched:
    details = _details.decode(row["details"])
    return Touched(row["source"], row["event_id"], row["type"], row["occurred_at"], details)


def _json(value: msgspec.Struct) -> str:
    return _encoder.encode(value).decode()
