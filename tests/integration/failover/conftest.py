"""The four services under the supervisor on a PostgreSQL pair, and what they did, seen from outside."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import httpx
import psycopg
import pytest

from chaos.cluster.postgres_pair import PostgresPair, postgres_pair
from chaos.stack import StackUnderTest, on_servers_of, stack_under_test
from funnel.postgres.hosts import to_primary
from funnel.settings import Settings
from tests.support.eventually import eventually
from tests.support.kafka import Record, read_all

SLOW = 240.0
"""Ends a test that would hang, on a machine that does other things too."""

RULES = """
pools: {sales: {members: [{rep: ann}, {rep: ben}, {rep: cho}]}}
rules: [{rule: everyone, pool: sales}]
reps:
  - {id: ann, name: Ann, capacity: 50}
  - {id: ben, name: Ben, capacity: 50}
  - {id: cho, name: Cho, capacity: 50}
"""


@dataclass(frozen=True)
class Site:
    """The stack and its pair."""

    pair: PostgresPair
    settings: Settings
    stack: StackUnderTest

    async def post(self, path: str, body: dict[str, Any]) -> None:
        """Send it until it is answered with 202, as senders do."""

        async def answered() -> bool:
            try:
                answer = await client.post(path, json=body)
            except httpx.TransportError:
                return False
            return answer.status_code == 202

        async with httpx.AsyncClient(base_url=self.settings.url_of("ingest"), timeout=20) as client:
            await eventually(answered, SLOW)

    async def leads(self, numbers: Sequence[int]) -> None:
        """As many people ask for a demo, which qualifies them at once."""
        await asyncio.gather(*(self.post("/v1/events", demo_request(number)) for number in numbers))

    def records(self, topic: str) -> list[Record]:
        return read_all(self.settings.kafka_bootstrap, self.settings.topic_prefix + topic)

    def values(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(one.value or b"") for one in self.records(topic)]

    async def until_active(self, count: int) -> dict[str, dict[str, Any]]:
        """The active assignments by the person's e-mail address, once there are `count` on the topic."""

        def reached() -> dict[str, dict[str, Any]]:
            active: dict[str, dict[str, Any]] = {}
            for one in self.values("lead-assignments"):
                if one["status"] == "assigned":
                    active[one["contact"]["email"]] = one
                elif active[one["contact"]["email"]]["epoch"] == one["epoch"]:
                    del active[one["contact"]["email"]]
            assert len(active) == count, active.keys()
            return active

        return await eventually(reached, SLOW)

    async def until_told(self, count: int) -> None:
        """Until decisions about `count` outcomes are published."""
        await eventually(lambda: len(told_outcomes(self)) == count, SLOW)

    async def until_ready(self) -> None:
        """Until `funnel status` has nothing to say against any process."""
        await eventually(lambda: all(one["ready"] for one in self.stack.status().values()), SLOW)

    async def until_at_rest(self, leads: int) -> dict[str, Any]:
        """The ledger once nothing is under way."""

        async def reached() -> dict[str, Any]:
            try:
                answer = await client.get("/v1/ledger")
            except httpx.TransportError as error:
                raise AssertionError("metrics does not answer") from error
            assert answer.status_code == 200, answer.text
            told: dict[str, Any] = answer.json()
            assert told["leads"]["total"] == leads, told
            assert told["events"]["in_flight"] == told["leads"]["pending"] == 0, told
            assert told["assignments"]["unpublished"] == 0, told
            assert told["events"]["unaccounted"] == told["leads"]["unaccounted"] == 0, told
            return told

        async with httpx.AsyncClient(base_url=self.settings.url_of("metrics"), timeout=20) as client:
            return await eventually(reached, SLOW)

    def query(self, sql: LiteralString) -> list[tuple[Any, ...]]:
        with psycopg.connect(to_primary(self.settings.postgres_dsn)) as connection:
            return connection.execute(sql).fetchall()


def demo_request(number: int) -> dict[str, Any]:
    return {"event_id": f"e-{number}", "type": "demo.requested", "identity": {"email": f"p{number}@example.com"}}


def told_outcomes(site: Site) -> list[str]:
    """The event ids of the outcomes that decisions tell of."""
    return [one["outcome"]["event_id"] for one in site.values("lead-decisions") if "outcome" in one]


@pytest.fixture
async def lossy(settings: Settings) -> AsyncIterator[Site]:
    """On a pair whose standby may lag."""
    async with _site(settings, synchronous=False) as site:
        yield site


@pytest.fixture
async def safe(settings: Settings) -> AsyncIterator[Site]:
    """On a pair that commits on both."""
    async with _site(settings, synchronous=True) as site:
        yield site


@asynccontextmanager
async def _site(settings: Settings, *, synchronous: bool) -> AsyncIterator[Site]:
    with postgres_pair(synchronous=synchronous) as pair:
        settings = settings.model_copy(update={"postgres_dsn": pair.dsn})
        with stack_under_test(on_servers_of(settings)) as stack:
            stack.home.path.mkdir(parents=True, exist_ok=True)
            (stack.home.path / "routing.yaml").write_text(RULES, encoding="utf-8")
            up = await asyncio.to_thread(stack.funnel, "up", "--detach")
            assert up.returncode == 0, up.stderr
            yield Site(pair, settings, stack)
