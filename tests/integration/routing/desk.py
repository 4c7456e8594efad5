"""Routing's handler on the real database without Kafka, and what must hold in its tables at any time."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from funnel.clock import SystemClock
from funnel.contracts import LeadOutcome, LeadScore
from funnel.envelope import Headers
from funnel.errors import Conflict
from funnel.postgres import Database, Row, Transaction
from funnel.spine import Message, Outgoing, outbox
from funnel.telemetry import Totals
from services.routing import store
from services.routing.domain.rules import parse_rules
from services.routing.handlers import RoutingHandler
from services.routing.releaser import HeldReleaser

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
TEAM = """
pools:
  sales: {members: [{rep: a, weight: 3}, {rep: b}]}
  big: {members: [{rep: b}, {rep: c}]}
reps:
  - {id: a, name: Ann, capacity: %(a)s}
  - {id: b, name: Ben, capacity: %(b)s}
  - {id: c, name: Cho, capacity: %(c)s}
rules:
  - {rule: large, pool: big, when: [{field: employees, at_least: 300}]}
  - {rule: everyone, pool: sales}
"""


def team(a: int = 0, b: int = 0, c: int = 0) -> str:
    """A routing.yaml: a (weight 3) and b in sales, b and c in big, with these capacities."""
    return TEAM % {"a": a, "b": b, "c": c}


def lead_id(number: int) -> str:
    return str(UUID(int=number))


def score(number: int, version: int = 1, **fields: Any) -> LeadScore:
    """A record of lead-scores; a qualified lead unless `fields` say otherwise."""
    at = (START + timedelta(minutes=number)).isoformat()
    known: dict[str, Any] = {
        "lead_id": lead_id(number),
        "version": version,
        "stage": "mql",
        "score": 60,
        "fit": 10,
        "engagement": 50,
        "qualified": True,
        "qualified_at": at,
        "at": at,
        "created_at": at,
        "config_version": "v",
        "caused_by": {"source": "default", "event_id": f"e-{number}"},
        "identifiers": [{"kind": "email", "value": f"{number}@example.com"}],
        "contact": {"email": f"{number}@example.com"},
    }
    return msgspec.convert(known | fields, LeadScore)


def nurtured(number: int, version: int = 1, **fields: Any) -> LeadScore:
    """A lead that is not qualified."""
    return score(number, version, **({"stage": "engaged", "qualified": False, "qualified_at": None} | fields))


def outcome(event_id: str, type: str, number: int | None = None, **fields: Any) -> LeadOutcome:
    """An outcome about a lead, named by its id unless `fields` give an identity."""
    known: dict[str, Any] = {"event_id": event_id, "type": type, "reason": "because", "source": "crm"}
    if number is not None:
        known["lead_id"] = lead_id(number)
    return msgspec.convert(known | {"occurred_at": "2026-11-23T09:00:00Z"} | fields, LeadOutcome)


@dataclass(frozen=True)
class Nowhere:
    """The place of a record that no broker holds."""

    topic: str = "lead-scores"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b""
    headers: Headers = ()


def messages(values: Sequence[LeadScore | LeadOutcome]) -> list[Message[Any]]:
    found: list[Message[Any]] = []
    for one in values:
        if isinstance(one, LeadScore):
            found.append(
                Message("scoring", f"{one.lead_id}:{one.version}", "lead.scored", "lead-scores", one, b"", Nowhere())
            )
        else:
            found.append(Message(one.source or "", one.event_id or "", one.type, "lead-outcomes", one, b"", Nowhere()))
    return found


@dataclass(frozen=True)
class Desk:
    """One routing.yaml on one database."""

    database: Database
    handler: RoutingHandler

    async def work(self, tx: Transaction, *values: LeadScore | LeadOutcome) -> None:
        """What the spine does within its transaction."""
        await outbox.put(tx, await self.handle(tx, *values))

    async def handle(self, tx: Transaction, *values: LeadScore | LeadOutcome) -> Sequence[Outgoing]:
        """The handler's part of it."""
        batch = messages(values)
        known = await self.handler.load(tx, await self.handler.lock(tx, batch))
        decision = self.handler.decide(known, batch, START)
        await self.handler.save(tx, decision)
        return decision.outgoing

    async def apply(self, *values: LeadScore | LeadOutcome) -> None:
        """One batch, redone as the spine does when it met another transaction."""
        while True:
            try:
                async with self.database.transaction() as tx:
                    await self.work(tx, *values)
            except Conflict:
                continue
            return

    def releaser(self) -> HeldReleaser:
        return HeldReleaser(self.database, self.handler, SystemClock(), lambda: None, Totals(), lambda: False)

    async def release(self) -> int:
        while True:
            try:
                return await self.releaser().release()
            except Conflict:
                continue

    async def rows(self, sql: str, *args: object) -> list[Row]:
        async with self.database.transaction() as tx:
            return await tx.fetch(sql, *args)

    async def states(self) -> Mapping[int, tuple[str, str | None]]:
        """(state, rep) by number of lead."""
        rows = await self.rows("SELECT lead_id, state, rep FROM lead")
        return {row["lead_id"].int: (row["state"], row["rep"]) for row in rows}

    async def kinds(self, number: int) -> list[str]:
        """Kinds of the decisions about a lead, in order."""
        rows = await self.rows("SELECT kind FROM decision WHERE lead_id = $1 ORDER BY version, number", lead_id(number))
        return [row["kind"] for row in rows]

    async def set_capacity(self, rep: str, capacity: int) -> None:
        await self.rows("UPDATE rep SET capacity = $2 WHERE id = $1 RETURNING id", rep, capacity)

    async def check(self) -> None:
        """Loads equal the rows, capacity holds, states agree with assignments, numbers have no gap, outbox is true."""
        loads = await self.rows(
            "SELECT id FROM rep WHERE open <> "
            "(SELECT count(*) FROM assignment WHERE rep = rep.id AND status = 'active')"
        )
        assert not loads
        assert not await self.rows("SELECT id FROM rep WHERE open > capacity")
        assert not await self.rows(
            "SELECT lead.lead_id FROM lead "
            "LEFT JOIN assignment AS a ON a.lead_id = lead.lead_id AND a.status = 'active' "
            "WHERE (lead.state = 'assigned') <> (a.rep IS NOT NULL) OR lead.rep IS DISTINCT FROM a.rep"
        )
        assert not await self.rows(
            "SELECT name FROM pool WHERE decisions <> coalesce("
            "(SELECT max(number) FROM decision WHERE pool = pool.name), 0) "
            "OR decisions <> (SELECT count(number) FROM decision WHERE pool = pool.name)"
        )
        await self._check_outbox()

    async def _check_outbox(self) -> None:
        """The assignment records, in order, tell exactly the assignments in the table."""
        told: dict[str, list[str]] = {}
        for row in await self.rows("SELECT ce_id FROM outbox WHERE topic = 'lead-assignments' ORDER BY id"):
            identity, _, status = row["ce_id"].partition(":")
            told.setdefault(identity, []).append(status)
        rows = await self.rows("SELECT assignment_id::text AS id, status FROM assignment")
        assert told == {
            row["id"]: ["assigned"] if row["status"] == "active" else ["assigned", row["status"]] for row in rows
        }


async def open_desk(dsn: str, rules: str, size: int = 10) -> Desk:
    """A desk on the database `dsn`, its pools and reps declared."""
    parsed = parse_rules(rules, "routing.yaml")
    database = await Database.open(dsn, schema="routing", application_name="test", size=size)
    async with database.transaction() as tx:
        await store.declare(tx, parsed)
    return Desk(database, RoutingHandler(parsed))


async def somebody_waits_for_a_lock(desk: Desk) -> bool:
    rows = await desk.rows(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return bool(rows)


def shuffled(seed: int, *values: Any) -> list[Any]:
    found = list(values)
    random.Random(seed).shuffle(found)
    return found
