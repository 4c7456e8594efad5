"""What a reader can know of records that are not shown to it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from funnel.kafka.consumer import Consumer
from funnel.settings import Settings
from tests.support.brokers import broker, second_broker
from tests.support.eventually import eventually
from tests.support.kafka import Record, produce
from tests.support.mistreated import await_stillness

PLACES = [("x", 0)]


async def test_records_that_too_few_copies_have_are_counted_though_nobody_is_shown_them(tmp_path: Path) -> None:
    """A sender whose record is among them cannot tell yet whether it is in the log."""
    with broker(tmp_path / "one") as own, second_broker(tmp_path / "one", tmp_path / "two") as other:
        admin = AdminClient({"bootstrap.servers": own.bootstrap})
        for made in admin.create_topics([NewTopic("x", num_partitions=1, replica_assignment=[[1, 2]])]).values():
            made.result(30)
        consumer = Consumer(Settings(kafka_bootstrap=own.bootstrap), "test")
        await consumer.start()
        try:
            produce(own.bootstrap, "x", [Record(b"in both")])
            assert await consumer.unshown(PLACES) == 0
            os.kill(other.process.identity.pid, signal.SIGSTOP)
            await_stillness(other.process.identity.pid)
            produce(own.bootstrap, "x", [Record(b"in one"), Record(b"too")], {"acks": 1})
            assert await consumer.unshown(PLACES) == 2
            assert await consumer.bounds(PLACES) == {("x", 0): (0, 1)}
            os.kill(other.process.identity.pid, signal.SIGCONT)

            async def shown() -> bool:
                return await consumer.unshown(PLACES) == 0

            await eventually(shown)
            assert await consumer.bounds(PLACES) == {("x", 0): (0, 3)}
        finally:
            os.kill(other.process.identity.pid, signal.SIGCONT)
            await consumer.stop()
