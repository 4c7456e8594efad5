"""What `/readyz` knows about Kafka, and when that ends the process."""

from __future__ import annotations

import asyncio

import pytest

from funnel.errors import UnsafeSettings
from funnel.kafka.consumer import KafkaAway
from services.ingest import kafka_watch
from services.ingest.kafka_watch import KafkaWatch
from tests.support import eventually


class Broker:
    """Fails the check with `error`, while there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.looks = 0

    async def check(self) -> None:
        self.looks += 1
        if self.error is not None:
            raise self.error


async def test_it_follows_kafka_leaving_and_coming_back() -> None:
    broker = Broker()
    watch = KafkaWatch(broker.check)
    for error, ready in ((None, None), (KafkaAway("Gone."), "Gone."), (None, None)):
        broker.error = error
        await watch.look()
        assert watch.ready() == ready


async def test_it_keeps_looking_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_watch, "PERIOD_SECONDS", 0.001)
    broker, stop = Broker(), asyncio.Event()
    task = asyncio.create_task(KafkaWatch(broker.check).run(stop))
    await eventually(lambda: broker.looks > 3)
    stop.set()
    await task


async def test_settings_that_became_unsafe_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_watch, "PERIOD_SECONDS", 0.001)
    broker = Broker()
    broker.error = UnsafeSettings("One copy.")
    with pytest.raises(UnsafeSettings):
        await KafkaWatch(broker.check).run(asyncio.Event())
