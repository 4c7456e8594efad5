"""SQL of the metrics service. Every function takes the caller's transaction and runs one statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from funnel.ledger import AssignmentAccount, LeadAccount, LeadState, SpoolRead
from funnel.postgres import Row, Transaction, load_queries
from services.metrics.domain.leads import UNSETTLED_LIMIT, Lead, state_of
from services.metrics.domain.outcomes import CountedOutcome
from services.metrics.domain.receipts import Answered
from services.metrics.domain.report import Figures, TallyRow, figures_of
from services.metrics.domain.tallies import Increment

QUERIES = load_queries("services.metrics.sql")


async def lock_leads(tx: Transaction, lead_ids: Collection[str]) -> None:
    """Make sure each lead has a row, and lock the rows in the order of their ids."""
    ids = list(lead_ids)
    await tx.execute(QUERIES["add_leads"], ids)
    await tx.execute(QUERIES["lock_leads"], ids)


async def load_leads(tx: Transaction, lead_ids: Collection[str]) -> tuple[dict[str, Lead], datetime]:
    """The leads by id, without their counted outcomes, and the time on the clock of Postgres."""
    rows = await tx.fetch(QUERIES["load_leads"], list(lead_ids))
    return {row["lead_id"]: _lead(row) for row in rows}, rows[0]["read_at"]


async def load_counted(tx: Transaction, lead_ids: Collection[str]) -> list[CountedOutcome]:
    """The counted outcomes of the leads, in the order they were counted."""
    rows = await tx.fetch(QUERIES["load_counted"], list(lead_ids))
    return [CountedOutcome(**row) for row in rows]


async def save_leads(tx: Transaction, leads: Sequence[Lead]) -> None:
    """Write the leads; their rows exist and are locked by this transaction."""
    await tx.execute(
        QUERIES["save_leads"],
        [one.lead_id for one in leads],
        [one.origin for one in leads],
        [one.score_version for one in leads],
        [one.stage for one in leads],
        [one.qualified for one in leads],
        [one.qualified_at for one in leads],
        [one.routing_seen[0] for one in leads],
        [one.routing_seen[1] for one in leads],
        [one.routing_state for one in leads],
        [one.routing_stage for one in leads],
        [one.routing_at for one in leads],
        [one.assignments_started for one in leads],
        [one.assignments_ended for one in leads],
        [state_of(one) for one in leads],
        [one.unsettled_since for one in leads],
    )


async def save_counted(tx: Transaction, counted: Sequence[CountedOutcome]) -> None:
    """Keep newly counted outcomes."""
    await tx.execute(
        QUERIES["save_counted"],
        [one.decision_id for one in counted],
        [one.lead_id for one in counted],
        [one.type for one in counted],
        [one.day for one in counted],
        [one.deal_id for one in counted],
        [one.currency for one in counted],
        [one.amount for one in counted],
        [one.overtaken for one in counted],
    )


async def add_tallies(tx: Transaction, increments: Sequence[Increment]) -> None:
    """Add to the tally. The increments are in the order of their keys, one per key."""
    await tx.execute(
        QUERIES["add_tallies"],
        [one.key.day for one in increments],
        [one.key.kpi for one in increments],
        [one.key.origin for one in increments],
        [one.key.currency for one in increments],
        [one.count for one in increments],
        [one.amount for one in increments],
    )


async def add_answered(tx: Transaction, by_process: Mapping[str, Answered]) -> None:
    """Add to what each ingest process called stored. The processes are in the order of their ids."""
    await tx.execute(
        QUERIES["add_answered"],
        list(by_process),
        [one.events for one in by_process.values()],
        [one.outcomes for one in by_process.values()],
    )


async def answered(tx: Transaction) -> Answered:
    """What all ingest processes called stored, as far as their receipts were read."""
    row = await tx.fetch_one(QUERIES["answered"])
    return Answered() if row is None else Answered(int(row["events"]), int(row["outcomes"]))


async def spool(tx: Transaction) -> dict[str, SpoolRead]:
    """The spool of ingest by topic, as of one moment."""
    return {row["topic"]: SpoolRead(row["should_hold"], row["holds"]) for row in await tx.fetch(QUERIES["spool"])}


async def totals(tx: Transaction) -> Figures:
    """The KPIs of all time."""
    rows = await tx.fetch(QUERIES["totals"])
    return figures_of(TallyRow(day=date.min, origin=None, **row) for row in rows)


async def counted_days(tx: Transaction) -> tuple[date, date] | None:
    """The first and the last day with a tally; None when nothing was counted yet."""
    row = await tx.fetch_one(QUERIES["days"])
    return None if row is None or row["first"] is None else (row["first"], row["last"])


async def tallies(tx: Transaction, first: date, last: date, *, by_origin: bool) -> list[TallyRow]:
    """The tally from `first` to `last`, both included, with origins apart or added up."""
    query = "tallies_between_by_origin" if by_origin else "tallies_between"
    return [TallyRow(**row) for row in await tx.fetch(QUERIES[query], first, last)]


async def lead_account(tx: Transaction) -> tuple[LeadAccount, AssignmentAccount]:
    """Where the leads are, and the assignments seen; `unpublished` and `unaccounted` ones are not known here."""
    rows = await tx.fetch(QUERIES["lead_states"], UNSETTLED_LIMIT)
    by_state = {row["state"]: row["leads"] for row in rows}
    leads = LeadAccount(
        total=sum(by_state.values()),
        unaccounted=sum(row["late"] for row in rows),
        **{state.value: by_state.get(state.value, 0) for state in LeadState},
    )
    assignments = AssignmentAccount(
        active=sum(row["active"] for row in rows), published=sum(row["records"] for row in rows)
    )
    return leads, assignments


async def unpublished_assignments(tx: Transaction) -> int:
    """Assignment records that routing committed and its relay has still to publish."""
    return int(await tx.fetch_value(QUERIES["unpublished_assignments"]))


def _lead(row: Row) -> Lead:
    return Lead(
        lead_id=row["lead_id"],
        origin=row["origin"],
        score_version=row["score_version"],
        stage=row["stage"],
        qualified=row["qualified"],
        qualified_at=row["qualified_at"],
        routing_seen=(row["routing_version"], row["routing_topic"]),
        routing_state=LeadState(row["routing_state"]) if row["routing_state"] else None,
        routing_stage=row["routing_stage"],
        routing_at=row["routing_at"],
        assignments_started=row["assignments_started"],
        assignments_ended=row["assignments_ended"],
        unsettled_since=row["unsettled_since"],
    )
