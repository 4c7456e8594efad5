"""Single records are found by their place in the log, whatever lies around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from funnel.kafka.lookup import RecordLookup
from funnel.settings import Settings
from services.metrics.ages import Ages, Waiting
from tests.support.kafka import Record, produce

PLACE = ("lead-events", 0)
LARGE = b"x" * 200_000


@pytest.fixture
async def lookup(settings: Settings) -> AsyncIterator[RecordLookup]:
    found = RecordLookup(settings, "test")
    await found.start()
    yield found
    await found.stop()


def write(settings: Settings, *values: bytes) -> None:
    records = [Record(value, partition=0) for value in values]
    produce(settings.kafka_bootstrap, f"{settings.topic_prefix}lead-events", records, {"linger.ms": 50})


async def test_a_record_inside_a_large_batch_is_found(settings: Settings, lookup: RecordLookup) -> None:
    write(settings, LARGE, LARGE, LARGE, b"last")
    for offset in (2, 0, 3):
        record = await lookup.first_from(PLACE, offset, 10)
        assert record is not None
        assert record.offset == offset


async def test_beyond_the_end_or_before_the_start_there_is_nothing(settings: Settings, lookup: RecordLookup) -> None:
    write(settings, b"only")
    assert await lookup.first_from(PLACE, 1, 0.1) is None
    assert await lookup.first_from(PLACE, 77, 0.5) is None


async def test_an_age_is_measured_from_when_the_record_was_written(settings: Settings) -> None:
    write(settings, b"one", b"two")
    ages = Ages(settings)
    try:
        now = datetime.now(UTC)
        waiting = Waiting(PLACE, 1)
        known: dict[Waiting, float] = {}
        while waiting not in known:  # a round has a budget; what it did not come to is looked up in a later one
            known = await ages.seconds([waiting], now)
        assert 0 <= known[waiting] < 3600
        assert await ages.seconds([waiting], now) == known
        assert await ages.seconds([], now) == {}
    finally:
        await ages.close()
