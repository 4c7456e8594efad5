"""What the simulator's log does is what Kafka does: every scenario runs on both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import pytest
from aiokafka.errors import RequestTimedOutError

from funnel.kafka.consumer import Consumer, OutOfRange, Record
from funnel.kafka.partitioner import partition_of
from funnel.kafka.producer import Acknowledged, Producer, ProducerRecord, PublishError
from funnel.settings import Settings
from tests.simulator.kafka import FakeConsumer, FakeProducer
from tests.simulator.world import World
from tests.support.eventually import eventually
from tests.support.kafka import create_topics, delete_topics

Scenario = Callable[[Consumer, Producer], Awaitable[None]]


KEYS = [b"a", b"b", b"c", b"d", b"e", b"f"]


class Broker(Protocol):
    """A broker with the topic `in` of two partitions. `topic` is its full name."""

    topic: str

    def run(self, scenario: Scenario) -> None: ...

    def lose_answers(self, producer: Producer) -> None:
        """From now on what is sent is stored, and the answer lost."""

    async def recreate(self) -> None: ...


class FakeBroker:
    topic = "in"

    def __init__(self) -> None:
        self.world = World(seed=1)
        self.world.log.create("in", 2)

    def run(self, scenario: Scenario) -> None:
        consumer, producer = FakeConsumer(self.world.log), FakeProducer(self.world.log, self.world.outside)

        async def go() -> None:
            await consumer.start()
            await scenario(consumer, producer)

        self.world.outside.run_until_complete(go())

    def lose_answers(self, _: Producer) -> None:
        self.world.log.faults.ack_lost = 1.0

    async def recreate(self) -> None:
        self.world.log.recreate("in")


class RealBroker:
    def __init__(self, bootstrap: str, prefix: str) -> None:
        self.topic = f"{prefix}in"
        self._prefix = prefix
        self._settings = Settings(kafka_bootstrap=bootstrap, topic_prefix=prefix)
        create_topics(bootstrap, {self.topic: 2})

    def run(self, scenario: Scenario) -> None:
        async def go() -> None:
            consumer, producer = Consumer(self._settings, "conformance"), await Producer.open(self._settings)
            await consumer.start()
            try:
                await scenario(consumer, producer)
            finally:
                await consumer.stop()
                await producer.close()

        asyncio.run(go())

    def lose_answers(self, producer: Producer) -> None:
        client: Any = producer._client
        produce = client.produce

        async def produce_in_silence(*args: Any) -> Any:
            await produce(*args)
            raise RequestTimedOutError

        client.produce = produce_in_silence

    async def recreate(self) -> None:
        bootstrap = self._settings.kafka_bootstrap
        await asyncio.to_thread(delete_topics, bootstrap, self._prefix)

        async def made() -> bool:
            try:
                await asyncio.to_thread(create_topics, bootstrap, {self.topic: 2})
            except Exception as error:
                raise AssertionError(str(error)) from error
            return True

        await eventually(made)


@pytest.fixture(params=["fake", "real"])
def broker(request: pytest.FixtureRequest) -> Broker:
    if request.param == "fake":
        return FakeBroker()
    return RealBroker(request.getfixturevalue("kafka_bootstrap"), request.getfixturevalue("topic_prefix"))


def records(topic: str, *values: str, key: str = "k") -> list[ProducerRecord]:
    return [ProducerRecord(topic, key.encode(), one.encode(), [("ce_id", one.encode())]) for one in values]


async def read(
    consumer: Consumer, starts: dict[tuple[str, int], int], count: int
) -> list[tuple[int, int, bytes | None]]:
    """(partition, offset, value) of `count` records, in order within each partition."""
    consumer.assign(starts)
    found: list[Record] = []
    while len(found) < count:
        for some in (await consumer.poll(100, 0.5)).values():
            found.extend(some)
    return sorted((one.partition, one.offset, one.value) for one in found)


def places(results: Sequence[Acknowledged | PublishError]) -> list[tuple[int, int]]:
    assert all(isinstance(one, Acknowledged) for one in results), results
    return [(one.partition, one.offset) for one in results if isinstance(one, Acknowledged)]


def test_records_of_a_key_lie_in_one_partition_in_the_order_in_which_they_were_sent(broker: Broker) -> None:
    async def scenario(consumer: Consumer, producer: Producer) -> None:
        first = places(await producer.publish(records(broker.topic, "1", "2")))
        second = places(await producer.publish(records(broker.topic, "3")))
        partition = first[0][0]
        assert first + second == [(partition, 0), (partition, 1), (partition, 2)]
        found = await read(consumer, {("in", 0): 0, ("in", 1): 0}, 3)
        assert found == [(partition, offset, b"%d" % (offset + 1)) for offset in range(3)]
        assert await consumer.position(("in", partition)) == 3
        assert await read(consumer, {("in", partition): 2}, 1) == [(partition, 2, b"3")]
        bounds = await consumer.bounds([("in", 0), ("in", 1)])
        assert bounds == {("in", partition): (0, 3), ("in", 1 - partition): (0, 0)}

    broker.run(scenario)


def test_two_keys_fall_into_the_same_partitions_everywhere(broker: Broker) -> None:
    async def scenario(consumer: Consumer, producer: Producer) -> None:
        sent = [one for key in KEYS for one in records(broker.topic, key.decode(), key=key.decode())]
        assert [number for number, _ in places(await producer.publish(sent))] == [partition_of(key, 2) for key in KEYS]
        assert await consumer.partitions(["in", "unknown"]) == [("in", 0), ("in", 1)]

    broker.run(scenario)


def test_an_offset_that_the_log_does_not_hold_is_refused(broker: Broker) -> None:
    async def scenario(consumer: Consumer, producer: Producer) -> None:
        ((partition, _),) = places(await producer.publish(records(broker.topic, "1")))
        consumer.assign({("in", partition): 5})
        with pytest.raises(OutOfRange) as refused:  # noqa: PT012 - what raises is inside
            while True:
                await consumer.poll(100, 0.5)
        assert refused.value.partitions == (("in", partition),)

    broker.run(scenario)


def test_nothing_is_no_record(broker: Broker) -> None:
    async def scenario(consumer: Consumer, _: Producer) -> None:
        consumer.assign({("in", 0): 0})
        assert await consumer.poll(100, 0.1) == {}
        assert await consumer.position(("in", 0)) == 0

    broker.run(scenario)


def test_what_was_stored_is_there_though_its_answer_was_lost(broker: Broker) -> None:
    async def scenario(consumer: Consumer, producer: Producer) -> None:
        ((partition, _),) = places(await producer.publish(records(broker.topic, "1")))
        broker.lose_answers(producer)
        results = await producer.publish(records(broker.topic, "2", "3"))
        assert [type(one) for one in results] == [PublishError, PublishError]
        assert await read(consumer, {("in", partition): 1}, 2) == [(partition, 1, b"2"), (partition, 2, b"3")]

    broker.run(scenario)


def test_a_topic_made_anew_begins_at_zero(broker: Broker) -> None:
    async def scenario(consumer: Consumer, producer: Producer) -> None:
        ((partition, _), *_) = places(await producer.publish(records(broker.topic, "1", "2", "3")))
        await broker.recreate()

        async def begins_anew() -> bool:
            return (await consumer.bounds([("in", partition)]))[("in", partition)] == (0, 0)

        await eventually(begins_anew)
        consumer.assign({("in", partition): 3})
        with pytest.raises(OutOfRange):  # noqa: PT012 - what raises is inside
            while True:
                await consumer.poll(100, 0.5)

    broker.run(scenario)
