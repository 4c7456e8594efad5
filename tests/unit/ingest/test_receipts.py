"""The second witness says how many records were called stored: never more, and each receipt once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import msgspec
import pytest

from funnel.contracts import IngestReceipt
from services.ingest import receipts as module
from services.ingest.domain.batch import Stored
from services.ingest.domain.kinds import EVENT, OUTCOME
from services.ingest.receipts import Receipts
from tests.support import eventually
from tests.unit.ingest.given import NOW, MemoryStore


class Clock:
    """A minute later at every look."""

    def __init__(self) -> None:
        self._at = NOW - timedelta(minutes=1)

    def now(self) -> datetime:
        self._at += timedelta(minutes=1)
        return self._at


@pytest.fixture
def storage() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def receipts(storage: MemoryStore) -> Receipts:
    return Receipts(storage, Clock(), process="p-1", topic_prefix="t.")


def published(storage: MemoryStore) -> list[IngestReceipt]:
    return [msgspec.json.decode(record.value, type=IngestReceipt) for record in storage.records]


async def test_a_span_is_told_once_with_its_counts(receipts: Receipts, storage: MemoryStore) -> None:
    receipts.add(EVENT, 2)
    receipts.add(OUTCOME, 1)
    receipts.add(EVENT, 1)
    await receipts.tell()
    await receipts.tell()
    until = NOW + timedelta(minutes=1)
    assert published(storage) == [IngestReceipt(process="p-1", number=1, since=NOW, until=until, events=3, outcomes=1)]
    headers = dict(storage.records[0].headers)
    assert (storage.records[0].topic, storage.records[0].key) == ("t.ingest-receipts", b"p-1")
    assert (headers["ce_source"], headers["ce_id"]) == (b"ingest", b"p-1:1")
    assert headers["ce_dataschema"] == b"ingest_receipt.v1"


async def test_spans_follow_each_other_and_quiet_ones_are_not_told(receipts: Receipts, storage: MemoryStore) -> None:
    for count in (1, 0, 5):
        receipts.add(EVENT, count)
        await receipts.tell()
    first, second = published(storage)
    assert (first.number, second.number) == (1, 2)
    assert (first.events, second.events) == (1, 5)
    assert second.since > first.until


async def test_a_receipt_that_may_not_have_arrived_goes_out_again_as_it_was(
    receipts: Receipts, storage: MemoryStore
) -> None:
    storage.results = {"p-1:1": Stored.UNKNOWN}
    receipts.add(EVENT, 1)
    await receipts.tell()
    assert published(storage) == []
    storage.results = {}
    receipts.add(EVENT, 10)
    await receipts.tell()
    assert [(one.number, one.events) for one in published(storage)] == [(1, 1), (2, 10)]


async def test_the_last_span_is_told_at_the_end(receipts: Receipts, storage: MemoryStore) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(receipts.run(stop))
    receipts.add(EVENT, 1)
    stop.set()
    await task
    await receipts.close()
    assert [one.events for one in published(storage)] == [1]


async def test_it_is_told_regularly(receipts: Receipts, storage: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.001)
    stop = asyncio.Event()
    task = asyncio.create_task(receipts.run(stop))
    receipts.add(EVENT, 1)
    await eventually(lambda: len(storage.records) == 1)
    receipts.add(EVENT, 2)
    await eventually(lambda: len(storage.records) == 2)
    stop.set()
    await task
    assert sum(one.events for one in published(storage)) == 3
