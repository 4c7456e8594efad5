"""The scoring service at work, and its topics seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import msgspec

from funnel.contracts import LeadEvent, LeadScore
from funnel.settings import Settings
from services.scoring.app import build
from tests.support.kafka import Record, produce, read_all


@asynccontextmanager
async def scoring(settings: Settings, replica: str = "one") -> AsyncIterator[httpx.AsyncClient]:
    """A replica at work until the block ends, and a client of its API; raises what a worker raised."""
    stop = asyncio.Event()
    async with build(settings.model_copy(update={"replica": replica})) as application:
        tasks = [asyncio.create_task(worker.run(stop), name=worker.name) for worker in application.workers]
        transport = httpx.ASGITransport(app=application.http)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://scoring") as client:
                yield client
        finally:
            stop.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def record(event: LeadEvent, partition: int | None = None) -> Record:
    """The record that ingest makes of an event."""
    return raw_record(event, msgspec.json.encode(event), partition)


def raw_record(event: LeadEvent, value: bytes, partition: int | None = None) -> Record:
    """`value` in the envelope of `event`."""
    headers = {
        "ce_specversion": b"1.0",
        "ce_id": event.event_id.encode(),
        "ce_type": event.type.encode(),
        "ce_source": event.source.encode(),
        "ce_dataschema": b"lead_event.v2",
    }
    return Record(value, event.source.encode(), headers, partition)


async def send(settings: Settings, records: Sequence[Record]) -> None:
    """Put records on lead-events."""
    await asyncio.to_thread(produce, settings.kafka_bootstrap, settings.topic_prefix + "lead-events", records)


async def published(settings: Settings) -> list[LeadScore]:
    """Everything on lead-scores, each lead's records in order."""
    found = await asyncio.to_thread(read_all, settings.kafka_bootstrap, settings.topic_prefix + "lead-scores")
    return [msgspec.json.decode(one.value or b"", type=LeadScore) for one in found]
