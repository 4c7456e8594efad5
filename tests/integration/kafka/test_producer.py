"""The producer's rules on real brokers: an answer for each record, nothing wedged, nothing overtaken."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from funnel.kafka import producer as module
from funnel.kafka.partitioner import partition_of
from funnel.kafka.producer import RECORD_BYTES_MAX, Acknowledged, Producer, ProducerRecord, PublishError
from funnel.settings import Settings
from tests.support.brokers import broker, second_broker
from tests.support.eventually import eventually
from tests.support.kafka import create_topics, read_all
from tests.support.mistreated import await_stillness


@asynccontextmanager
async def producing(bootstrap: str) -> AsyncIterator[Producer]:
    producer = await Producer.open(Settings(kafka_bootstrap=bootstrap))
    try:
        yield producer
    finally:
        await producer.close()


def record(topic: str, key: bytes, value: bytes = b"v") -> ProducerRecord:
    return ProducerRecord(topic, key, value, [("ce_id", key)])


def key_for(partition: int, partitions: int, label: str = "k") -> bytes:
    return next(k for n in range(10_000) if partition_of(k := b"%s%d" % (label.encode(), n), partitions) == partition)


async def test_each_record_is_answered_with_the_place_where_it_lies(kafka_bootstrap: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}x"
    create_topics(kafka_bootstrap, {topic: 3})
    async with producing(kafka_bootstrap) as producer:
        results = await producer.publish([record(topic, b"k%d" % n) for n in range(500)])
    stored = {(r.partition, r.offset): r.headers["ce_id"] for r in read_all(kafka_bootstrap, topic)}
    assert len(stored) == 500
    for n, result in enumerate(results):
        assert isinstance(result, Acknowledged)
        assert stored[result.partition, result.offset] == b"k%d" % n


async def test_concurrent_callers_get_their_own_answers_and_keep_their_order(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}x"
    create_topics(kafka_bootstrap, {topic: 1})
    async with producing(kafka_bootstrap) as producer:
        calls = [producer.publish([record(topic, b"%d-%d" % (c, n)) for n in range(5)]) for c in range(100)]
        answers = await asyncio.gather(*calls)
    offsets = [[r.offset for r in results if isinstance(r, Acknowledged)] for results in answers]
    assert all(own == sorted(own) and len(own) == 5 for own in offsets)
    assert sorted(o for own in offsets for o in own) == list(range(500))


async def test_an_oversized_record_is_refused_before_it_is_sent(kafka_bootstrap: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}x"
    create_topics(kafka_bootstrap, {topic: 1})
    big = record(topic, b"big", b"x" * RECORD_BYTES_MAX)
    async with producing(kafka_bootstrap) as producer:
        results = await producer.publish([record(topic, b"a"), big, record(topic, b"b")])
        assert isinstance(results[1], PublishError)
        assert results[1].too_large
        assert producer.ready() is None
    assert [r.key for r in read_all(kafka_bootstrap, topic)] == [b"a", b"b"]


async def test_a_record_over_the_brokers_limit_neither_takes_its_neighbours_nor_wedges_the_partition(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    topic = f"{topic_prefix}x"
    create_topics(kafka_bootstrap, {topic: 1}, {"max.message.bytes": "2000"})
    batch = [record(topic, b"k%02d" % n, b"x" * (5000 if n in (7, 30) else 100)) for n in range(40)]
    async with producing(kafka_bootstrap) as producer:
        results = await producer.publish(batch)
        refused = [n for n, r in enumerate(results) if isinstance(r, PublishError)]
        assert refused == [7, 30]
        again = await producer.publish([record(topic, b"after")])
        assert isinstance(again[0], Acknowledged)
    keys = [r.key for r in read_all(kafka_bootstrap, topic)]
    assert keys == [b"k%02d" % n for n in range(40) if n not in (7, 30)] + [b"after"]


async def test_a_topic_that_does_not_exist_is_an_answer_not_a_hang(kafka_bootstrap: str, topic_prefix: str) -> None:
    async with producing(kafka_bootstrap) as producer:
        (result,) = await producer.publish([record(f"{topic_prefix}nowhere", b"k")])
    assert isinstance(result, PublishError)


async def test_too_much_waiting_fails_at_once(
    kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"{topic_prefix}x"
    create_topics(kafka_bootstrap, {topic: 1})
    monkeypatch.setattr(module, "PENDING_BYTES_MAX", 10_000)
    async with producing(kafka_bootstrap) as producer:
        results = await producer.publish([record(topic, b"k", b"x" * 1000) for _ in range(20)])
        assert any(isinstance(r, Acknowledged) for r in results)
        assert "Too much is waiting" in str(next(r for r in results if isinstance(r, PublishError)))
        assert isinstance((await producer.publish([record(topic, b"k")]))[0], Acknowledged)


async def test_a_frozen_broker_is_a_failure_within_the_deadline_and_the_next_send_has_a_new_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 1.0)
    with broker(tmp_path / "kafka") as own:
        create_topics(own.bootstrap, {"x": 1})
        async with producing(own.bootstrap) as producer:
            assert isinstance((await producer.publish([record("x", b"before")]))[0], Acknowledged)
            before = producer._client
            os.kill(own.process.identity.pid, signal.SIGSTOP)
            await_stillness(own.process.identity.pid)
            try:
                (lost,) = await producer.publish([record("x", b"during")])
                assert isinstance(lost, PublishError)
                assert producer.ready() is not None
            finally:
                os.kill(own.process.identity.pid, signal.SIGCONT)
            assert producer._client is not before

            async def stored() -> bool:
                return isinstance((await producer.publish([record("x", b"after")]))[0], Acknowledged)

            await eventually(stored)
            assert producer.ready() is None
        assert b"after" in [r.key for r in read_all(own.bootstrap, "x")]


async def test_what_is_not_sent_when_its_caller_gives_up_is_never_sent(tmp_path: Path) -> None:
    with broker(tmp_path / "kafka") as own:
        create_topics(own.bootstrap, {"x": 2})
        async with producing(own.bootstrap) as producer:
            await producer.publish([record("x", b"before")])
            os.kill(own.process.identity.pid, signal.SIGSTOP)
            await_stillness(own.process.identity.pid)
            try:
                sent = asyncio.create_task(producer.publish([record("x", key_for(0, 2, "sent"))]))
                await eventually(lambda: not producer._lanes["x"][0].queue and bool(producer._lanes["x"][0].batch))
                given_up = producer.publish([record("x", key_for(n, 2, "given-up")) for n in (0, 1)])
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(given_up, 0.01)
            finally:
                os.kill(own.process.identity.pid, signal.SIGCONT)
            assert isinstance((await sent)[0], Acknowledged)
            after = [record("x", key_for(n, 2, "after")) for n in (0, 1)]
            assert all(isinstance(result, Acknowledged) for result in await producer.publish(after))
        keys = [r.key for r in read_all(own.bootstrap, "x")]
        assert len(keys) == 4
        assert not any(key is not None and key.startswith(b"given-up") for key in keys)


async def test_posts_that_come_together_share_requests(
    kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"{topic_prefix}x"
    create_topics(kafka_bootstrap, {topic: 12})
    async with producing(kafka_bootstrap) as producer:
        await producer.publish([record(topic, b"first")])
        client = producer._client
        assert client is not None
        requests, produce = 0, client.produce

        async def counted(*request: Any) -> Any:
            nonlocal requests
            requests += 1
            return await produce(*request)

        monkeypatch.setattr(client, "produce", counted)
        answers = await asyncio.gather(*[producer.publish([record(topic, b"k%d" % n)]) for n in range(500)])
    assert all(isinstance(result, Acknowledged) for (result,) in answers)
    assert requests < 10


async def test_a_partition_without_leader_fails_alone_and_works_again_when_it_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an idempotent producer of this client the partition would stay wedged for good."""
    monkeypatch.setattr(module, "DEADLINE_SECONDS", 2.0)
    with broker(tmp_path / "one") as own, second_broker(tmp_path / "one", tmp_path / "two") as other:
        admin = AdminClient({"bootstrap.servers": own.bootstrap})
        topic = NewTopic("x", num_partitions=2, replica_assignment=[[1], [2]])
        for future in admin.create_topics([topic]).values():
            future.result(30)
        async with producing(own.bootstrap) as producer:

            async def stored(partition: int) -> bool:
                (result,) = await producer.publish([record("x", key_for(partition, 2))])
                return isinstance(result, Acknowledged)

            await eventually(lambda: stored(0))
            await eventually(lambda: stored(1))
            os.kill(other.process.identity.pid, signal.SIGKILL)
            await eventually(lambda: not other.process.running())
            assert not await stored(1)
            await eventually(lambda: stored(0))
            revived = type(other.process).start(other.process.program, tmp_path / "two-again.log", ends_with_us=True)
            try:
                await eventually(lambda: stored(1), deadline=90)
            finally:
                revived.stop()
