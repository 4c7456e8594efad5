"""The producer's rules, with brokers that answer what a test lets them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    TopicAuthorizationFailedError,
)
from aiokafka.record.memory_records import MemoryRecords

from funnel.kafka import producer as module
from funnel.kafka.brokers import Brokers
from funnel.kafka.partitioner import partition_of
from funnel.kafka.produce import Answers, Batch, Place
from funnel.kafka.producer import Acknowledged, Producer, ProducerRecord, PublishError

TOPIC = "x"
PARTITIONS = 4

Request = dict[int, list[bytes]]
"""Partition -> the keys of its batch."""


class FakeCluster:
    """Two brokers that lead two partitions each, and every connection that was made to them."""

    def __init__(self) -> None:
        self.leaders: dict[int, int | None] = {0: 1, 1: 1, 2: 2, 3: 2}
        self.log: dict[int, list[bytes]] = {number: [] for number in range(PARTITIONS)}
        self.requests: list[Request] = []
        self.connections: list[FakeBrokers] = []
        self.connecting: Callable[[], Awaitable[None]] | None = None
        self.reaching: Callable[[], Awaitable[None]] | None = None
        self.answering: Callable[[int, Request], Awaitable[Answers | None]] | None = None
        """Called with node and request; None: they are stored."""

    async def connect(self, *_: Any) -> FakeBrokers:
        if self.connecting is not None:
            await self.connecting()
        self.connections.append(FakeBrokers(self))
        return self.connections[-1]

    def store(self, request: Request) -> Answers:
        answers: dict[Place, int | KafkaError] = {}
        for partition, keys in request.items():
            answers[Place(TOPIC, partition)] = len(self.log[partition])
            self.log[partition] += keys
        return answers


class FakeBrokers:
    """Stands in for `funnel.kafka.brokers.Brokers`."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.closed = False
        self.asked_again = 0

    def partitions(self, topic: str) -> int:
        return PARTITIONS if topic == TOPIC else 0

    async def learn(self, topic: str) -> None:
        raise TopicAuthorizationFailedError(topic)

    def leader(self, place: Place) -> int | None:
        return self.cluster.leaders[place.partition]

    def ask_again(self) -> None:
        self.asked_again += 1

    async def reach(self, _: int) -> bool:
        if self.cluster.reaching is not None:
            await self.cluster.reaching()
        return True

    async def produce(self, node: int, batches: Sequence[tuple[Place, Batch]]) -> Answers:
        request = {place.partition: keys_of(batch) for place, batch in batches}
        assert all(self.cluster.leaders[partition] == node for partition in request)
        self.cluster.requests.append(request)
        answers = await self.cluster.answering(node, request) if self.cluster.answering else None
        return self.cluster.store(request) if answers is None else answers

    async def close(self) -> None:
        self.closed = True


def keys_of(batch: Batch) -> list[bytes]:
    found = MemoryRecords(bytes(batch)).next_batch()
    assert found is not None
    return [bytes(record.key) for record in found]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    found = FakeCluster()
    monkeypatch.setattr(Brokers, "connect", found.connect)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    return found


@pytest.fixture
def producer(cluster: FakeCluster) -> Producer:
    return Producer("nowhere", "test")


def record(partition: int, label: str, size: int = 1) -> ProducerRecord:
    """A record for `partition` whose key begins with `label`."""
    keys = (f"{label}.{n}".encode() for n in range(10_000))
    return ProducerRecord(TOPIC, next(k for k in keys if partition_of(k, PARTITIONS) == partition), b"v" * size, [])


def labels(keys: Iterable[bytes]) -> list[str]:
    return [key.decode().partition(".")[0] for key in keys]


async def settle_down() -> None:
    """Let everything run that can run without an answer."""
    for _ in range(20):
        await asyncio.sleep(0)


class Gate:
    """Holds answers back until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, *_: Any) -> None:
        await self.opened.wait()


async def test_a_lone_record_goes_out_at_once(cluster: FakeCluster, producer: Producer) -> None:
    assert await producer.publish([record(0, "a")]) == [Acknowledged(0, 0)]
    assert await producer.publish([record(0, "b")]) == [Acknowledged(0, 1)]
    assert [labels(request[0]) for request in cluster.requests] == [["a"], ["b"]]


async def test_what_comes_while_a_request_is_under_way_shares_the_next(
    cluster: FakeCluster, producer: Producer
) -> None:
    cluster.answering = gate = Gate()
    calls = [asyncio.create_task(producer.publish([record(0, "first")]))]
    await settle_down()
    calls += [asyncio.create_task(producer.publish([record(n % 2, f"r{n}")])) for n in range(10)]
    await settle_down()
    gate.opened.set()
    answers = await asyncio.gather(*calls)
    assert [len(request) for request in cluster.requests] == [1, 2]
    assert labels(cluster.log[0]) == ["first", *(f"r{n}" for n in range(0, 10, 2))]
    assert all(isinstance(one, Acknowledged) for (one,) in answers)


async def test_a_slow_broker_keeps_nobody_from_another(cluster: FakeCluster, producer: Producer) -> None:
    gate = Gate()

    async def slow(node: int, _: Request) -> None:
        if node == 1:
            await gate()

    cluster.answering = slow
    held_back = asyncio.create_task(producer.publish([record(0, "slow")]))
    await settle_down()
    assert await producer.publish([record(2, "fast")]) == [Acknowledged(2, 0)]
    gate.opened.set()
    await held_back


async def test_each_record_of_a_call_gets_its_own_answer(cluster: FakeCluster, producer: Producer) -> None:
    records = [record(n % PARTITIONS, f"r{n}") for n in range(40)]
    answers = await producer.publish(records)
    for sent, answer in zip(records, answers, strict=True):
        assert isinstance(answer, Acknowledged)
        assert cluster.log[answer.partition][answer.offset] == sent.key
    assert producer._held.bytes == 0


async def test_a_partition_that_moves_is_followed_and_keeps_its_order(cluster: FakeCluster, producer: Producer) -> None:
    async def moved(node: int, request: Request) -> Answers | None:
        if node != 1:
            return None
        cluster.leaders[0] = 2
        late.append(asyncio.create_task(producer.publish([record(0, "third")])))
        await settle_down()
        return {Place(TOPIC, partition): NotLeaderForPartitionError() for partition in request}

    late: list[asyncio.Task[Any]] = []
    cluster.answering = moved
    await producer.publish([record(0, "first"), record(0, "second")])
    await asyncio.gather(*late)
    assert labels(cluster.log[0]) == ["first", "second", "third"]
    assert cluster.connections[0].asked_again


async def test_a_partition_without_leader_waits_for_one(cluster: FakeCluster, producer: Producer) -> None:
    cluster.leaders[0] = None
    waiting = asyncio.create_task(producer.publish([record(0, "a")]))
    await settle_down()
    assert await producer.publish([record(1, "b")]) == [Acknowledged(1, 0)]
    cluster.leaders[0] = 2
    assert await waiting == [Acknowledged(0, 0)]


async def test_it_fails_when_it_gets_none_and_what_waited_behind_it_too(
    cluster: FakeCluster, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 0.0)
    cluster.leaders[0] = None
    answers = await producer.publish([record(0, "a"), record(0, "b")])
    assert all(isinstance(answer, PublishError) and not answer.too_large for answer in answers)
    assert "LeaderNotAvailable" in (producer.ready() or "")
    assert producer._held.bytes == 0


async def test_after_a_failure_nothing_overtakes(cluster: FakeCluster, producer: Producer) -> None:
    gate = Gate()

    async def refuse(_: int, request: Request) -> Answers:
        await gate()
        cluster.answering = None
        return {Place(TOPIC, partition): TopicAuthorizationFailedError() for partition in request}

    cluster.answering = refuse
    calls = [asyncio.create_task(producer.publish([record(0, "first")]))]
    await settle_down()
    calls.append(asyncio.create_task(producer.publish([record(0, "second")])))
    await settle_down()
    gate.opened.set()
    answers = await asyncio.gather(*calls)
    assert all(isinstance(one, PublishError) for (one,) in answers)
    assert cluster.log[0] == []


async def test_a_failed_client_is_thrown_away_and_the_next_send_has_a_new_one(
    cluster: FakeCluster, producer: Producer
) -> None:
    async def refuse(_: int, request: Request) -> Answers:
        return {Place(TOPIC, partition): TopicAuthorizationFailedError() for partition in request}

    cluster.answering = refuse
    (failed,) = await producer.publish([record(0, "a")])
    assert isinstance(failed, PublishError)
    assert producer.ready() is not None
    cluster.answering = None
    assert await producer.publish([record(0, "b")]) == [Acknowledged(0, 0)]
    assert producer.ready() is None
    assert [connection.closed for connection in cluster.connections] == [True, False]


async def test_a_batch_of_which_nothing_is_known_is_not_sent_again_by_itself(
    cluster: FakeCluster, producer: Producer
) -> None:
    """It may be stored: whoever publishes each record once has to look first."""

    async def store_and_lose(_: int, request: Request) -> None:
        cluster.store(request)
        raise KafkaConnectionError

    cluster.answering = store_and_lose
    (failed,) = await producer.publish([record(0, "a")])
    assert isinstance(failed, PublishError)
    assert labels(cluster.log[0]) == ["a"]


async def test_a_lost_connection_is_tried_again_where_a_repeat_does_no_harm(cluster: FakeCluster) -> None:
    producer = Producer("nowhere", "test", repeats=True)
    failures = [KafkaConnectionError(), OSError("reset"), TimeoutError()]

    async def lose(*_: Any) -> None:
        if failures:
            raise failures.pop()

    cluster.answering = lose
    assert await producer.publish([record(0, "a")]) == [Acknowledged(0, 0)]
    assert not failures


async def test_of_too_large_a_batch_only_the_too_large_records_fail(cluster: FakeCluster, producer: Producer) -> None:
    async def measure(_: int, request: Request) -> Answers | None:
        if any(label.startswith("big") for label in labels(request[0])):
            return {Place(TOPIC, 0): MessageSizeTooLargeError()}
        return None

    cluster.answering = measure
    names = [f"big{n}" if n in (7, 30) else f"r{n}" for n in range(40)]
    answers = await producer.publish([record(0, name) for name in names])
    assert [n for n, answer in enumerate(answers) if isinstance(answer, PublishError) and answer.too_large] == [7, 30]
    assert labels(cluster.log[0]) == [name for name in names if name.startswith("r")]
    assert producer.ready() is None
    assert producer._held.bytes == 0


async def test_in_order_nothing_of_a_key_overtakes_what_is_too_large(cluster: FakeCluster) -> None:
    async def measure(_: int, request: Request) -> Answers | None:
        return {Place(TOPIC, 0): MessageSizeTooLargeError()} if len(request[0]) > 1 or refusing in request[0] else None

    cluster.answering = measure
    producer = Producer("nowhere", "test", in_order=True)
    one, other = record(0, "one"), record(0, "other")
    refusing = one.key
    answers = await producer.publish([other, one, other, one])
    assert [isinstance(answer, Acknowledged) for answer in answers] == [True, False, True, False]
    assert [answer.too_large for answer in answers if isinstance(answer, PublishError)] == [True, False]
    assert [request[0] for request in cluster.requests].count([one.key]) == 1, "what comes after it is not even sent"
    refusing = b""
    assert await producer.publish([one, other]) == [Acknowledged(0, 2), Acknowledged(0, 3)]
    await producer.close()


async def test_a_record_beyond_the_limit_is_not_even_sent(cluster: FakeCluster, producer: Producer) -> None:
    headers = [("h", b"x" * (module.RECORD_BYTES_MAX // 2))]
    by_headers = ProducerRecord(TOPIC, b"k", b"v" * (module.RECORD_BYTES_MAX // 2), headers)
    answers = await producer.publish([record(0, "big", module.RECORD_BYTES_MAX), by_headers])
    assert all(isinstance(answer, PublishError) and answer.too_large for answer in answers)
    assert cluster.requests == []


async def test_more_than_one_batch_holds_goes_out_in_several_in_order(cluster: FakeCluster, producer: Producer) -> None:
    await producer.publish([record(0, f"r{n}", 100_000) for n in range(20)])
    assert labels(cluster.log[0]) == [f"r{n}" for n in range(20)]
    assert len(cluster.requests) == 3


async def test_too_much_waiting_fails_at_once(
    cluster: FakeCluster, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PENDING_BYTES_MAX", 10_000)
    answers = await producer.publish([record(0, f"r{n}", 1000) for n in range(20)])
    assert any(isinstance(answer, Acknowledged) for answer in answers)
    assert "Too much is waiting" in str(next(answer for answer in answers if isinstance(answer, PublishError)))
    assert await producer.publish([record(0, "after")]) == [Acknowledged(0, len(cluster.log[0]) - 1)]


async def gives_up(call: asyncio.Task[Any]) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_what_waits_behind_a_request_is_not_sent_for_who_gave_up(
    cluster: FakeCluster, producer: Producer
) -> None:
    cluster.answering = gate = Gate()
    under_way = asyncio.create_task(producer.publish([record(0, "under-way")]))
    await settle_down()
    given_up = asyncio.create_task(producer.publish([record(0, "given-up"), record(1, "given-up")]))
    patient = asyncio.create_task(producer.publish([record(0, "patient")]))
    await settle_down()
    await gives_up(given_up)
    gate.opened.set()
    assert await under_way == [Acknowledged(0, 0)]
    assert await patient == [Acknowledged(0, 1)]
    await settle_down()
    assert (labels(cluster.log[0]), cluster.log[1]) == (["under-way", "patient"], [])
    assert producer._held.bytes == 0


async def test_nor_is_what_waits_for_a_connection_or_a_leader(cluster: FakeCluster, producer: Producer) -> None:
    cluster.reaching = gate = Gate()
    call = asyncio.create_task(producer.publish([record(0, "a")]))
    await settle_down()
    await gives_up(call)
    gate.opened.set()
    cluster.leaders[1] = None
    call = asyncio.create_task(producer.publish([record(1, "b")]))
    await settle_down()
    await gives_up(call)
    cluster.leaders[1] = 2
    await settle_down()
    assert await producer.publish([record(1, "c")]) == [Acknowledged(1, 0)]
    assert (cluster.log[0], labels(cluster.log[1])) == ([], ["c"])


async def test_nor_is_what_failed_and_would_be_tried_again(cluster: FakeCluster) -> None:
    producer = Producer("nowhere", "test", repeats=True)
    cluster.answering = gate = Gate()
    call = asyncio.create_task(producer.publish([record(0, "a")]))
    await settle_down()
    await gives_up(call)

    async def lose(*_: Any) -> None:
        await gate()
        raise KafkaConnectionError

    cluster.answering = lose
    other = asyncio.create_task(producer.publish([record(2, "b")]))
    await settle_down()
    await gives_up(other)
    gate.opened.set()
    await settle_down()
    cluster.answering = None
    await settle_down()
    assert cluster.log[2] == []
    assert producer._held.bytes == 0


async def test_all_who_wait_for_a_connection_share_one_attempt(cluster: FakeCluster, producer: Producer) -> None:
    attempts = 0

    async def refuse() -> None:
        nonlocal attempts
        attempts += 1
        await settle_down()
        raise KafkaConnectionError

    cluster.connecting = refuse
    answers = await asyncio.gather(*[producer.publish([record(0, "a")]) for _ in range(10)])
    assert attempts == 1
    assert all(isinstance(answer, PublishError) for (answer,) in answers)
    assert "cannot be reached" in (producer.ready() or "")
    cluster.connecting = None
    assert await producer.publish([record(0, "a")]) == [Acknowledged(0, 0)]


async def test_a_topic_of_which_nothing_is_known_is_an_answer(producer: Producer) -> None:
    (answer,) = await producer.publish([ProducerRecord("other", b"k", b"v", [])])
    assert "does not tell the partitions of other" in str(answer)


async def test_closing_waits_for_what_is_under_way_and_fails_what_would_be_tried_again(
    cluster: FakeCluster, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 1000.0)
    cluster.answering = gate = Gate()
    cluster.leaders[1] = None
    under_way = asyncio.create_task(producer.publish([record(0, "a")]))
    leaderless = asyncio.create_task(producer.publish([record(1, "b")]))
    await settle_down()
    closing = asyncio.create_task(producer.close())
    await settle_down()
    assert not closing.done()
    gate.opened.set()
    await closing
    assert await under_way == [Acknowledged(0, 0)]
    assert isinstance((await leaderless)[0], PublishError)
    assert cluster.connections[0].closed


async def test_a_bug_leaves_nobody_waiting(cluster: FakeCluster, producer: Producer) -> None:
    async def stumble(*_: Any) -> None:
        cluster.answering = None
        raise KeyError("a bug")

    cluster.answering = stumble
    (answer,) = await producer.publish([record(0, "a")])
    assert "KeyError" in str(answer)
    assert await producer.publish([record(0, "b")]) == [Acknowledged(0, 0)]
