"""Reads the tables of all services for an audit, by their keys, each look in one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from funnel.audit.compare import AssignmentRow, Identity, LeadRow, Leads, Tables
from funnel.audit.doubts import Frame
from funnel.audit.findings import PUBLICATIONS, Place
from funnel.audit.seen import Assigned, Scored, Seen
from funnel.postgres import Database, Row, Transaction, load_queries

SERVICES = ("scoring", "routing", "metrics")
"""Who reads topics."""

WITNESS = "metrics"
"""The service whose inbox remembers every record of the topics that scoring and routing publish to."""

QUERIES = load_queries("funnel.audit.sql")


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Transaction]:
    """A transaction in which every statement sees the same moment. Raises DatabaseAway and Conflict."""
    async with database.transaction(by_key=True) as tx:
        await tx.execute(QUERIES["one_snapshot"])
        yield tx


async def about_records(tx: Transaction, records: Sequence[Seen]) -> Tables:
    """What the tables say of `records`, which were read before `tx` began."""
    lead_ids = sorted({one.lead_id for one in records if one.lead_id and isinstance(one.claim, Scored)})
    ids = {one.claim.assignment_id for one in records if isinstance(one.claim, Assigned)}
    rows = await tx.fetch(QUERIES["assignments_by_id"], sorted(filter(_is_uuid, ids))) if ids else []
    return Tables(
        spans={
            (service, row["topic"], row["partition"]): (row["first"], row["next"])
            for service in SERVICES
            for row in await tx.fetch(_of(service, "spans"))
        },
        inboxes={service: await _hashes(tx, service, [one.identity for one in records]) for service in SERVICES},
        quarantined={service: await _quarantined(tx, service, records) for service in SERVICES},
        scored=await _scored(tx, lead_ids),
        taken={row["lead_id"]: row["score_version"] for row in await _by_lead(tx, "taken", lead_ids)},
        assignments={row["assignment_id"]: AssignmentRow(**row) for row in rows},
    )


async def about_leads(tx: Transaction, lead_ids: Collection[str]) -> Leads:
    """What the tables say of these leads, and which of the records that follow from it were published."""
    wanted = sorted(lead_ids)
    scores = [LeadRow(**row) for row in await _by_lead(tx, "scored", wanted)]
    assignments = [AssignmentRow(**row) for row in await _by_lead(tx, "assignments_of_leads", wanted)]
    implied = [("scoring", f"{one.lead_id}:{one.version}") for one in scores]
    implied += [("routing", f"{one.assignment_id}:assigned") for one in assignments]
    implied += [("routing", f"{one.assignment_id}:{one.status}") for one in assignments if one.ended_at]
    published = set(await _hashes(tx, WITNESS, implied))
    if len(published) < len(implied):
        topics = [publication.topic for publication in PUBLICATIONS.values()]
        published |= {(row["source"], row["event_id"]) for row in await tx.fetch(QUERIES["quarantined_ids"], topics)}
    since = {row["topic"]: row["since"] for row in await tx.fetch(QUERIES["witness_since"])}
    return Leads(scores, assignments, published, since)


async def frame(tx: Transaction) -> Frame:
    """How far the relays and the witness are, in the snapshot of `tx`."""
    spans = {one.service: await tx.fetch_one(_of(one.service, "outbox_span")) for one in PUBLICATIONS.values()}
    return Frame(
        outbox={
            service: None if row is None or row["first"] is None else (row["first"], row["last"])
            for service, row in spans.items()
        },
        witnessed={(row["topic"], row["partition"]): row["next"] for row in await tx.fetch(_of(WITNESS, "spans"))},
    )


async def repeats(tx: Transaction) -> dict[int, int]:
    """Repeats of assignment records that the witness counted, by partition."""
    return {row["partition"]: row["duplicates"] for row in await tx.fetch(QUERIES["repeats"])}


async def leads_after(tx: Transaction, lead_id: str, limit: int) -> list[str]:
    """The next leads that scoring or routing knows, in the order of their ids; none at the end."""
    return [row["lead_id"] for row in await tx.fetch(QUERIES["leads_after"], lead_id, limit)]


async def _scored(tx: Transaction, lead_ids: Sequence[str]) -> dict[str, int]:
    """The version to which scoring knows each lead, also where a failover has taken the lead itself away."""
    rows = [*await _by_lead(tx, "scored", lead_ids), *await _by_lead(tx, "published_before", lead_ids)]
    versions: dict[str, int] = {}
    for row in rows:
        versions[row["lead_id"]] = max(row["version"], versions.get(row["lead_id"], 0))
    return versions


async def _hashes(tx: Transaction, service: str, identities: Sequence[Identity]) -> dict[Identity, bytes]:
    storable = sorted({one for one in identities if "\0" not in one[0] + one[1]})  # the others can be in no table
    sources, ids = [source for source, _ in storable], [event_id for _, event_id in storable]
    rows = await tx.fetch(_of(service, "hashes"), sources, ids) if storable else []
    return {(row["source"], row["event_id"]): row["hash"] for row in rows}


async def _quarantined(tx: Transaction, service: str, records: Sequence[Seen]) -> set[Place]:
    places = [one.place for one in records]
    columns = [topic for topic, _, _ in places], [number for _, number, _ in places], [at for _, _, at in places]
    rows = await tx.fetch(_of(service, "in_quarantine"), *columns)
    return {(row["topic"], row["partition"], row["record_offset"]) for row in rows}


async def _by_lead(tx: Transaction, query: str, lead_ids: Sequence[str]) -> list[Row]:
    return await tx.fetch(QUERIES[query], lead_ids) if lead_ids else []


def _of(service: str, query: str) -> str:
    return QUERIES[query].replace("service.", f"{service}.")


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
