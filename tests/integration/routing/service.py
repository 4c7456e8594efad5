"""The routing service at work on the real broker and database, and its topics seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from funnel.contracts import LeadAssignment, LeadDecision, LeadOutcome, LeadScore
from funnel.settings import Settings
from services.routing.app import build
from tests.support.eventually import eventually
from tests.support.kafka import Record, produce, read_all


@dataclass(frozen=True)
class Routing:
    """One replica, and what can be seen and done from outside."""

    settings: Settings
    http: httpx.AsyncClient

    async def send_scores(self, *scores: LeadScore, partition: int | None = None) -> None:
        """Put records on lead-scores as scoring does."""
        await self._send("lead-scores", [_score_record(one, partition) for one in scores])

    async def send_outcomes(self, *outcomes: LeadOutcome) -> None:
        """Put outcomes on lead-outcomes as ingest does."""
        await self._send("lead-outcomes", [_outcome_record(one) for one in outcomes])

    async def send_bodies(self, *bodies: bytes) -> None:
        """Put bare bodies on lead-outcomes as a sales tool of somebody else's does."""
        await self._send("lead-outcomes", [Record(body) for body in bodies])

    async def assignments(self) -> list[LeadAssignment]:
        """Everything on lead-assignments, each lead's records in order."""
        return [
            msgspec.json.decode(one.value or b"", type=LeadAssignment) for one in await self.raw("lead-assignments")
        ]

    async def decisions(self) -> list[LeadDecision]:
        """Everything on lead-decisions."""
        return [msgspec.json.decode(one.value or b"", type=LeadDecision) for one in await self.raw("lead-decisions")]

    async def raw(self, topic: str) -> list[Record]:
        return await asyncio.to_thread(read_all, self.settings.kafka_bootstrap, self.settings.topic_prefix + topic)

    async def until_assignments(self, count: int) -> list[LeadAssignment]:
        """The records once there are `count`."""

        async def reached() -> list[LeadAssignment]:
            found = await self.assignments()
            assert len(found) >= count, found
            return found

        return await eventually(reached)

    async def until_decision(self, **fields: Any) -> LeadDecision:
        """The first decision with these fields."""

        async def reached() -> LeadDecision:
            found = await self.decisions()
            matching = [one for one in found if all(getattr(one, name) == value for name, value in fields.items())]
            assert matching, found
            return matching[0]

        return await eventually(reached)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def _send(self, topic: str, records: Iterable[Record]) -> None:
        name = self.settings.topic_prefix + topic
        await asyncio.to_thread(produce, self.settings.kafka_bootstrap, name, list(records))


@asynccontextmanager
async def running(settings: Settings, rules: str | None = None, replica: str = "one") -> AsyncIterator[Routing]:
    """A replica at work until the block ends; raises what a worker raised."""
    if rules is not None:
        settings.home.mkdir(parents=True, exist_ok=True)
        (settings.home / "routing.yaml").write_text(rules, encoding="utf-8")
    stop = asyncio.Event()
    async with build(settings.model_copy(update={"replica": replica})) as application:
        tasks = [asyncio.create_task(worker.run(stop), name=worker.name) for worker in application.workers]
        transport = httpx.ASGITransport(app=application.http)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://routing") as client:
                yield Routing(settings, client)
        finally:
            stop.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _score_record(score: LeadScore, partition: int | None) -> Record:
    headers = {
        "ce_id": f"{score.lead_id}:{score.version}".encode(),
        "ce_type": b"lead.scored",
        "ce_source": b"scoring",
        "ce_dataschema": b"lead_score.v1",
    }
    return Record(msgspec.json.encode(score), score.lead_id.encode(), headers, partition)


def _outcome_record(outcome: LeadOutcome) -> Record:
    headers = {
        "ce_id": (outcome.event_id or "").encode(),
        "ce_type": f"outcome.{outcome.type}".encode(),
        "ce_source": (outcome.source or "").encode(),
        "ce_dataschema": b"lead_outcome.v1",
    }
    return Record(msgspec.json.encode(outcome), None, headers)
