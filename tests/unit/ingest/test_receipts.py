"""The second witness says how many records were called stored: never more, and each receipt once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import msgspec
import pytest

from funnel.contracts import IngestReceipt
from funnel.kafka.producer import PublishError
from services.ingest import receipts as module
from services.ingest.domain.kinds import EVENT, OUTCOME
from services.ingest.receipts import Receipts
from tests.support import eventually
from tests.unit.ingest.given import NOW, MemoryPublisher


class Clock:
    """A minute later at every look."""

    def __init__(self) -> None:
        self._at = NOW - timedelta(minutes=1)

    def now(self) -> datetime:
        self._at += timedelta(minutes=1)
        return self._at


@pytest.fixture
def publisher() -> MemoryPublisher:
    return MemoryPublisher()


@pytest.fixture
def receipts(publisher: MemoryPublisher) -> Receipts:
    return Receipts(publisher, Clock(), process="p-1", topic_prefix="t.")


def published(publisher: MemoryPublisher) -> list[IngestReceipt]:
    return [msgspec.json.decode(record.value, type=IngestReceipt) for record in publisher.records]


async def test_a_span_is_told_once_with_its_counts(receipts: Receipts, publisher: MemoryPublisher) -> None:
    receipts.add(EVENT, 2)
    receipts.add(OUTCOME, 1)
    receipts.add(EVENT, 1)
    await receipts.publish()
    await receipts.publish()
    until = NOW + timedelta(minutes=1)
    assert published(publisher) == [
        IngestReceipt(process="p-1", number=1, since=NOW, until=until, events=3, outcomes=1)
    ]
    headers = dict(publisher.records[0].headers)
    assert (publisher.records[0].topic, publisher.records[0].key) == ("t.ingest-receipts", b"p-1")
    assert (headers["ce_source"], headers["ce_id"]) == (b"ingest", b"p-1:1")
    assert headers["ce_dataschema"] == b"ingest_receipt.v1"


async def test_spans_follow_each_other_and_quiet_ones_are_not_told(
    receipts: Receipts, publisher: MemoryPublisher
) -> None:
    for count in (1, 0, 5):
        receipts.add(EVENT, count)
        await receipts.publish()
    first, second = published(publisher)
    assert (first.number, second.number) == (1, 2)
    assert (first.events, second.events) == (1, 5)
    assert second.since > first.until


async def test_a_receipt_that_may_not_have_arrived_goes_out_again_as_it_was(
    receipts: Receipts, publisher: MemoryPublisher
) -> None:
    publisher.results = {"p-1:1": PublishError("Kafka did not acknowledge.")}
    receipts.add(EVENT, 1)
    await receipts.publish()
    assert published(publisher) == []
    publisher.results = {}
    receipts.add(EVENT, 10)
    await receipts.publish()
    assert [(one.number, one.events) for one in published(publisher)] == [(1, 1), (2, 10)]


async def test_the_last_span_is_told_at_the_end(receipts: Receipts, publisher: MemoryPublisher) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(receipts.run(stop))
    receipts.add(EVENT, 1)
    stop.set()
    await task
    await receipts.close()
    assert [one.events for one in published(publisher)] == [1]


async def test_it_is_told_regularly(
    receipts: Receipts, publisher: MemoryPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.001)
    stop = asyncio.Event()
    task = asyncio.create_task(receipts.run(stop))
    receipts.add(EVENT, 1)
    await eventually(lambda: len(publisher.records) == 1)
    receipts.add(EVENT, 2)
    await eventually(lambda: len(publisher.records) == 2)
    stop.set()
    await task
    assert sum(one.events for one in published(publisher)) == 3
