"""A small funnel that really ran: four leads, three with a rep and one lost by its rep. Then something is planted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import psycopg
from psycopg.rows import TupleRow

from funnel.settings import Settings
from tests.integration.metrics.services import Client
from tests.integration.metrics.services import running as metrics
from tests.integration.routing.desk import outcome, team
from tests.integration.routing.service import running as routing
from tests.support import eventually
from tests.support.kafka import Record, produce, read_all
from tests.support.scoring import event
from tests.support.scoring_service import record, scoring, send

LEADS = 4

PATIENCE = 120.0
"""Seconds to wait for what a busy machine does late; the promise itself is tried in `test_in_time`."""

LEDGER_KINDS = frozenset({"events", "events_answered", "outcomes", "outcomes_answered", "leads", "assignments"})


@dataclass(frozen=True)
class World:
    """What somebody with a database console and a Kafka client can see and do."""

    settings: Settings
    metrics: Client

    def rows(self, query: str, *values: object) -> list[TupleRow]:
        with psycopg.connect(self.settings.postgres_dsn) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def change(self, statement: str, *values: object) -> None:
        """Change the tables behind the product's back. Fails when that changes nothing."""
        with psycopg.connect(self.settings.postgres_dsn) as connection:
            assert connection.execute(statement.encode(), values).rowcount != 0, statement

    def records(self, topic: str) -> list[Record]:
        return read_all(self.settings.kafka_bootstrap, self.settings.topic_prefix + topic)

    def produce(self, topic: str, *records: Record) -> None:
        """Write to a topic behind the product's back."""
        produce(self.settings.kafka_bootstrap, self.settings.topic_prefix + topic, records)

    async def unaccounted(self) -> dict[str, float]:
        """`funnel_unaccounted` by kind, as scraped; without the kinds that are 0."""
        series = await self.metrics.series()
        told = {dict(labels)["kind"]: value for (name, labels), value in series.items() if name == "funnel_unaccounted"}
        assert told, "not exported"
        return {kind: value for kind, value in told.items() if value}

    async def shows(self, *kinds: str) -> bool:
        """Whether exactly these kinds are not 0, of those that the auditor finds."""
        assert (await self.unaccounted()).keys() - LEDGER_KINDS == set(kinds)
        return True

    def ever_found(self) -> set[str]:
        """The kinds of all findings, whatever became of them."""
        return {kind for (kind,) in self.rows("SELECT kind FROM metrics.audit_finding")}

    async def rounds(self, count: int) -> None:
        """Wait for that many more rounds of the auditor."""
        for _ in range(count):
            await eventually(partial(self._looked_since, self.last_round()), PATIENCE)

    def last_round(self) -> object:
        """When a round was last complete."""
        return self.rows("SELECT at FROM metrics.audit_round")

    def _looked_since(self, before: object) -> bool:
        return self.last_round() != before


@asynccontextmanager
async def world(settings: Settings, *first: str) -> AsyncIterator[World]:
    """The funnel after its work, the metrics service still running. `first`: statements before anything happens."""
    async with metrics(settings) as client:
        found = World(settings, client)
        for statement in first:
            found.change(statement)
        await play(found)
        yield found


async def play(world: World) -> None:
    """Four leads from the event to their rep, one outcome, everything published and read."""
    settings = world.settings
    async with scoring(settings), routing(settings, team(a=9, b=9)) as sales:
        await send(settings, [record(_demo(number)) for number in range(LEADS)])
        await eventually(lambda: world.rows("SELECT 1 FROM routing.assignment HAVING count(*) = %s", LEADS), PATIENCE)
        await sales.send_outcomes(outcome("o-1", "lost", identity={"email": "1@example.com"}))
        await eventually(lambda: world.rows("SELECT 1 FROM routing.assignment WHERE status = 'closed'"), PATIENCE)
        await eventually(lambda: _is_published(world), PATIENCE)
    await eventually(lambda: _is_read(world), PATIENCE)


def _demo(number: int) -> Any:
    return event("demo.requested", email=f"{number}@example.com", minute=number, event_id=f"e-{number}")


def _is_published(world: World) -> bool:
    left = "SELECT (SELECT count(*) FROM scoring.outbox) + (SELECT count(*) FROM routing.outbox)"
    return world.rows(left) == [(0,)]


async def _is_read(world: World) -> bool:
    lags = {key: count for key, count in (await world.metrics.lags()).items() if key[0] == "metrics"}
    return bool(lags) and not any(lags.values())


def altered(one: Record, **fields: Any) -> Record:
    """The record with other fields in its body and the same headers."""
    value = msgspec.json.decode(one.value or b"") | fields
    return Record(msgspec.json.encode(value), one.key, one.headers)


def under(one: Record, ce_id: str) -> Record:
    """The record with another id."""
    return Record(one.value, one.key, {**one.headers, "ce_id": ce_id.encode()})


def status_of(records: Sequence[Record], status: str) -> Record:
    """The first assignment record with this status."""
    return next(one for one in records if msgspec.json.decode(one.value or b"")["status"] == status)
