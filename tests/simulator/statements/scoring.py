"""The statements of `services/scoring/sql` that the handler uses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from funnel.postgres import load_queries
from tests.simulator.database import Rows, Session, Statement, Waiting
from tests.simulator.statements.rows import change, insert_missing, lock, pick

QUERIES = load_queries("services.scoring.sql")


def insert_identifiers(s: Session, kinds: Sequence[str], values: Sequence[str]) -> Waiting:
    keys = sorted(zip(kinds, values, strict=True))
    rows = [
        ((kind, value), {"kind": kind, "value": value, "lead_id": None, "promised_to": None}) for kind, value in keys
    ]
    yield from insert_missing(s, "identifier", rows)
    return []


def lock_identifiers(s: Session, kinds: Sequence[str], values: Sequence[str]) -> Waiting:
    keys = sorted(key for key in zip(kinds, values, strict=True) if s.get("identifier", key) is not None)
    rows = yield from lock(s, "identifier", keys)
    return [dict(row) for row in rows]


def lock_leads(s: Session, lead_ids: Sequence[str]) -> Waiting:
    rows = yield from lock(s, "lead", sorted(one for one in lead_ids if s.get("lead", one) is not None))
    return [pick(row, "lead_id") for row in rows]


def load_leads(s: Session, lead_ids: Sequence[str]) -> Rows:
    return [pick(row, "record", "evidence") for one in sorted(lead_ids) if (row := s.get("lead", one))]


def load_touches(s: Session, subjects: Sequence[str]) -> Rows:
    wanted = set(subjects)
    return [dict(row) for _, row in sorted(s.items("touch")) if row["subject"] in wanted]


def save_leads(
    s: Session,
    lead_ids: Sequence[str],
    versions: Sequence[int],
    stages: Sequence[str],
    scores: Sequence[int],
    created: Sequence[datetime],
    changed: Sequence[datetime],
    records: Sequence[str],
    evidence: Sequence[str],
    kinds: Sequence[str],
    values: Sequence[str],
    claimants: Sequence[str],
) -> Waiting:
    for kind, value, claimant in zip(kinds, values, claimants, strict=True):
        yield "identifier", (kind, value)
        change(s, "identifier", (kind, value), lead_id=claimant)
    names = ("lead_id", "version", "stage", "score", "created_at", "changed_at", "record", "evidence")
    columns = (lead_ids, versions, stages, scores, created, changed, records, evidence)
    for values_of_row in zip(*columns, strict=True):
        row: dict[str, Any] = dict(zip(names, values_of_row, strict=True))
        yield "lead", row["lead_id"]
        known = s.get("lead", row["lead_id"])
        s.put("lead", row["lead_id"], row if known is None else {**row, "created_at": known["created_at"]})
    return []


def save_conflicts(s: Session, *columns: Sequence[str]) -> Waiting:
    names = ("lead_id", "other_lead_id", "kind", "value", "source", "event_id")
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    yield from insert_missing(s, "conflict", [(tuple(row.values())[:4], row) for row in rows])
    return []


STATEMENTS: dict[str, Statement] = {
    QUERIES[statement.__name__]: statement
    for statement in (
        insert_identifiers,
        lock_identifiers,
        lock_leads,
        load_leads,
        load_touches,
        save_leads,
        save_conflicts,
    )
}
