"""The statements of `services/routing/sql` that the handler, the releaser and a change of a rep use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from funnel.errors import BadData
from funnel.postgres import load_queries
from services.routing.domain.lead import Outcome
from tests.simulator.database import Rows, Session, Statement, Waiting
from tests.simulator.statements.rows import change, insert_missing, lock, pick

QUERIES = load_queries("services.routing.sql")

_LEAD = (
    "lead_id", "state", "stage", "version", "score_version", "score", "epoch", "cycle", "pool", "rule", "rep",
    "qualified_at", "closed_at", "held_since", "held_reason", "excluded", "preferred", "facts",
)  # fmt: skip
_NEW_LEAD: dict[str, Any] = {
    **dict.fromkeys(_LEAD),
    **dict.fromkeys(("version", "score_version", "score", "epoch"), 0),
    "state": "unknown",
    "stage": "new",
    "cycle": 1,
    "held_score": None,
    "excluded": [],
    "facts": "{}",
}
_DECISION = (
    "decision_id", "lead_id", "version", "kind", "at", "source", "event_id", "mode", "pool", "number", "rule", "rep",
    "epoch", "state", "stage", "reason", "candidates", "outcome",
)  # fmt: skip
_DEAL = (
    "lead_id", "key", "deal_stage", "amount", "currency", "opened_at", "won_at", "lost_at", "cancelled_at",
    "reopened_at",
)  # fmt: skip


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


# -- batch.sql ---------------------------------------------------------------------------------------------------


def known_names(s: Session, names: Sequence[str]) -> Rows:
    return [dict(row) for one in names if (row := s.get("identifier", one)) and row["lead_id"] is not None]


def claim_names(s: Session, names: Sequence[str], lead_ids: Sequence[str | None]) -> Waiting:
    claimed: Rows = []
    for name, lead_id in sorted(zip(names, lead_ids, strict=True)):
        yield "identifier", name
        known = s.get("identifier", name)
        row = {"name": name, "lead_id": lead_id if known is None else known["lead_id"] or lead_id}
        s.put("identifier", name, row)
        claimed.append(dict(row))
    return claimed


def insert_leads(s: Session, lead_ids: Sequence[str]) -> Waiting:
    rows = [(one, {**_NEW_LEAD, "lead_id": one}) for one in sorted(lead_ids)]
    made = yield from insert_missing(s, "lead", rows)
    return [{"lead_id": one} for one in made]


def lock_leads(s: Session, lead_ids: Sequence[str]) -> Waiting:
    rows = yield from lock(s, "lead", sorted(one for one in lead_ids if s.get("lead", one) is not None))
    return [pick(row, *_LEAD) for row in rows]


def lock_waiting(s: Session, names: Sequence[str]) -> Waiting:
    wanted = set(names)
    keys = sorted(key for key, row in s.items("waiting_outcome") if wanted.intersection(row["names"]))
    rows = yield from lock(s, "waiting_outcome", keys)
    return [pick(row, "outcome") for row in rows]


def pools_of_reps(s: Session, reps: Sequence[str]) -> Rows:
    return [{"pool": one} for one in sorted({row["pool"] for row in s.rows("pool_member") if row["rep"] in reps})]


def lock_pools(s: Session, names: Sequence[str]) -> Waiting:
    rows = yield from lock(s, "pool", sorted(one for one in names if s.get("pool", one) is not None))
    return [dict(row) for row in rows]


def lock_reps(s: Session, pools: Sequence[str], others: Sequence[str]) -> Waiting:
    members = {row["rep"] for row in s.rows("pool_member") if row["pool"] in pools}
    wanted = sorted(one for one in members | set(others) if s.get("rep", one) is not None)
    rows = yield from lock(s, "rep", wanted)
    return [dict(row) for row in rows]


def load_members(s: Session, pools: Sequence[str]) -> Rows:
    rows = sorted(s.items("pool_member"))
    return [pick(row, "pool", "rep", "weight", "current") for _, row in rows if row["pool"] in pools]


def load_held(
    s: Session, pools: Sequence[str], reps: Sequence[str], slots: Sequence[int], loaded: Sequence[str]
) -> Rows:
    held = [row for row in s.rows("lead") if row["state"] == "held" and row["lead_id"] not in loaded]
    held.sort(key=lambda row: (-row["held_score"], row["qualified_at"], row["lead_id"]))
    chosen: set[str] = set()
    for pool, rep, count in zip(pools, reps, slots, strict=True):
        queue = [row["lead_id"] for row in held if row["pool"] == pool and rep not in row["excluded"]]
        chosen.update(queue[:count])
    return [pick(row, *_LEAD) for row in held if row["lead_id"] in chosen and s.try_lock("lead", row["lead_id"])]


def load_assignments(s: Session, lead_ids: Sequence[str]) -> Rows:
    rows = sorted(s.rows("assignment"), key=lambda row: (row["lead_id"], row["epoch"]))
    return [dict(row) for row in rows if row["lead_id"] in lead_ids]


def load_deals(s: Session, lead_ids: Sequence[str]) -> Rows:
    return [dict(row) for _, row in sorted(s.items("deal")) if row["lead_id"] in lead_ids]


def save_leads(s: Session, *columns: Sequence[Any]) -> Waiting:
    for values in zip(*columns, strict=True):
        row = dict(zip(_LEAD, values, strict=True))
        row["held_score"] = row["score"] if row["state"] == "held" else None
        row["excluded"] = [one for one in row["excluded"].split(",") if one]
        row["facts"] = _json(row["facts"])
        yield "lead", row["lead_id"]
        change(s, "lead", row["lead_id"], **row)
    return []


def end_assignments(s: Session, ids: Sequence[str], *columns: Sequence[Any]) -> Waiting:
    for one, *values in zip(ids, *columns, strict=True):
        yield "assignment", one
        change(s, "assignment", one, **dict(zip(("status", "ended_at", "why"), values, strict=True)))
    return []


def begin_assignments(s: Session, *columns: Sequence[Any]) -> Waiting:
    names = ("assignment_id", "lead_id", "epoch", "rep", "pool", "rule", "assigned_at")
    for values in zip(*columns, strict=True):
        row = {**dict(zip(names, values, strict=True)), "status": "active", "ended_at": None, "why": None}
        yield from _insert(s, "assignment", row["assignment_id"], row)
    return []


def save_pools(
    s: Session,
    pools: Sequence[str],
    decisions: Sequence[int],
    pools_of_members: Sequence[str],
    members: Sequence[str],
    currents: Sequence[int],
    reps: Sequence[str],
    opens: Sequence[int],
) -> Waiting:
    for pool, number in zip(pools, decisions, strict=True):
        yield "pool", pool
        change(s, "pool", pool, decisions=number)
    for pool, rep, current in zip(pools_of_members, members, currents, strict=True):
        yield "pool_member", (pool, rep)
        change(s, "pool_member", (pool, rep), current=current)
    for rep, count in zip(reps, opens, strict=True):
        yield "rep", rep
        change(s, "rep", rep, open=count)
    return []


def save_decisions(s: Session, *columns: Any) -> Waiting:
    *values_by_column, version = columns
    numbers = {(row["pool"], row["number"]) for row in s.rows("decision") if row["number"] is not None}
    for values in zip(*values_by_column, strict=True):
        row = {**dict(zip(_DECISION, values, strict=True)), "config_version": version}
        if row["number"] is not None and (row["pool"], row["number"]) in numbers:
            raise BadData("23505: decision_pool_number_key")
        yield from _insert(s, "decision", row["decision_id"], row)
    return []


def save_deals(s: Session, *columns: Sequence[Any]) -> Waiting:
    for values in zip(*columns, strict=True):
        row = dict(zip(_DEAL, values, strict=True))
        yield "deal", (row["lead_id"], row["key"])
        s.put("deal", (row["lead_id"], row["key"]), row)
    return []


def put_waiting(
    s: Session,
    sources: Sequence[str],
    event_ids: Sequence[str],
    names: Sequence[Sequence[str]],
    outcomes: Sequence[Outcome],
    since: object,
) -> Waiting:
    for source, event_id, of, outcome in zip(sources, event_ids, names, outcomes, strict=True):
        row = {
            "source": source,
            "event_id": event_id,
            "names": list(of),
            "outcome": _json(outcome),
            "since": since,
        }
        yield from _insert(s, "waiting_outcome", (source, event_id), row)
    return []


def take_waiting(s: Session, sources: Sequence[str], event_ids: Sequence[str]) -> Waiting:
    for key in zip(sources, event_ids, strict=True):
        if s.get("waiting_outcome", key) is not None:
            yield "waiting_outcome", key
            s.delete("waiting_outcome", key)
    return []


def _insert(s: Session, table: str, key: Any, row: dict[str, Any]) -> Waiting:
    """A plain INSERT: refused where the key exists."""
    yield table, key
    if s.get(table, key) is not None:
        raise BadData(f"23505: {table} {key}")
    s.put(table, key, row)
    return []


# -- releasing.sql -----------------------------------------------------------------------------------------------


def pools_to_drain(s: Session) -> Rows:
    free = {row["id"] for row in s.rows("rep") if row["active"] and row["open"] < row["capacity"]}
    held = [row for row in s.rows("lead") if row["state"] == "held"]
    pools = {
        member["pool"]
        for member in s.rows("pool_member")
        if member["rep"] in free
        and any(lead["pool"] == member["pool"] and member["rep"] not in lead["excluded"] for lead in held)
    }
    return [{"name": one} for one in sorted(pools)]


# -- administration.sql ------------------------------------------------------------------------------------------


def insert_pools(s: Session, names: Sequence[str]) -> Waiting:
    yield from insert_missing(s, "pool", [(one, {"name": one, "decisions": 0}) for one in sorted(names)])
    return []


def lock_all_pools(s: Session) -> Waiting:
    rows = yield from lock(s, "pool", sorted(key for key, _ in s.items("pool")))
    return [pick(row, "name") for row in rows]


def declare_reps(s: Session, *columns: Sequence[Any]) -> Waiting:
    for values in sorted(zip(*columns, strict=True)):
        declared = dict(zip(("id", "name", "email", "capacity"), values, strict=True))
        yield "rep", declared["id"]
        known = s.get("rep", declared["id"])
        s.put("rep", declared["id"], {**(known or {"open": 0, "active": True}), **declared})
    return []


def withdraw_members(s: Session, pools: Sequence[str], reps: Sequence[str]) -> Waiting:
    declared = set(zip(pools, reps, strict=True))
    for key, row in sorted(s.items("pool_member")):
        if row["declared"] and key not in declared:
            yield "pool_member", key
            s.delete("pool_member", key)
    return []


def declare_members(s: Session, pools: Sequence[str], reps: Sequence[str], weights: Sequence[int]) -> Waiting:
    for pool, rep, weight in zip(pools, reps, weights, strict=True):
        yield "pool_member", (pool, rep)
        known = s.get("pool_member", (pool, rep))
        row = {**(known or {"pool": pool, "rep": rep, "current": 0}), "weight": weight, "declared": True}
        s.put("pool_member", (pool, rep), row)
    return []


def update_rep(
    s: Session, rep: str, name: str | None, email: str | None, capacity: int | None, active: bool | None
) -> Waiting:
    if s.get("rep", rep) is None:
        return []
    yield "rep", rep
    asked = {"name": name, "email": email, "capacity": capacity, "active": active}
    change(s, "rep", rep, **{column: value for column, value in asked.items() if value is not None})
    return [{"id": rep}]


STATEMENTS: dict[str, Statement] = {
    QUERIES[statement.__name__]: statement
    for statement in (
        known_names,
        claim_names,
        insert_leads,
        lock_leads,
        lock_waiting,
        pools_of_reps,
        lock_pools,
        lock_reps,
        load_members,
        load_held,
        load_assignments,
        load_deals,
        save_leads,
        end_assignments,
        begin_assignments,
        save_pools,
        save_decisions,
        save_deals,
        put_waiting,
        take_waiting,
        pools_to_drain,
        insert_pools,
        lock_all_pools,
        declare_reps,
        withdraw_members,
        declare_members,
        update_rep,
    )
}
