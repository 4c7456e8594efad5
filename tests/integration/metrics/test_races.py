"""Transactions that meet on the real database, as those of two replicas of metrics do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from funnel.contracts import LeadAssignment, LeadScore
from funnel.envelope import Headers
from funnel.postgres import Database, Transaction
from funnel.spine import Message
from services.metrics.handlers import Decision, MetricsHandler
from tests.support import eventually
from tests.unit.metrics.records import NOON, assignment, score

HANDLER = MetricsHandler(ZoneInfo("Asia/Tokyo"))


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


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_dsn, schema="metrics", application_name="test", size=4)
    yield opened
    await opened.close()


async def decided(tx: Transaction, value: LeadScore | LeadAssignment) -> Decision:
    """The part of the spine's transaction before the state is written."""
    batch: list[Message[Any]] = [Message("s", str(value.version), "", "t", value, b"", Nowhere())]
    state = await HANDLER.load(tx, await HANDLER.lock(tx, batch))
    return HANDLER.decide(state, batch, NOON)


async def transact(database: Database, value: LeadScore | LeadAssignment) -> None:
    async with database.transaction() as tx:
        await HANDLER.save(tx, await decided(tx, value))


async def test_two_topics_of_one_lead_at_once_are_both_counted(database: Database) -> None:
    await transact(database, score(1))
    async with database.transaction() as tx:
        first = await decided(tx, score(2, qualified=True))
        second = asyncio.create_task(transact(database, assignment(1)))
        await eventually(lambda: waits_or_is_done(database, second))
        assert not second.done()
        await HANDLER.save(tx, first)
    await second
    rows = await database.fetch("SELECT score_version, assignments_started, state FROM lead")
    assert [tuple(row.values()) for row in rows] == [(2, 1, "assigned")]


async def waits_or_is_done(database: Database, task: asyncio.Task[None]) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return task.done() or bool(await database.fetch(waiting))
