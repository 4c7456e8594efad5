"""Gaps, control records, retention, recreated topics: what may pass is counted, the rest stops loudly."""

from __future__ import annotations

from typing import NoReturn

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from funnel.kafka import consumer as kafka
from funnel.spine import loop
from tests.integration.spine.conftest import PARTITIONS, Desk, event, in_partition
from tests.support.eventually import eventually
from tests.support.kafka import Record, create_topics, delete_topics
from tests.support.toy import Toy, running


def transactional(desk: Desk, name: str) -> Producer:
    producer = Producer({"bootstrap.servers": desk.settings.kafka_bootstrap, "transactional.id": name})
    producer.init_transactions()
    return producer


async def stopped(desk: Desk, words: str) -> None:
    async with running(desk.settings, Toy()) as spine:
        await eventually(lambda: words in spine.problems().get("in/0", ""))


async def test_control_records_of_a_foreign_transaction_are_holes(desk: Desk) -> None:
    desk.send([in_partition(event(1), 0)])
    producer = transactional(desk, f"{desk.settings.topic_prefix}tx")
    producer.begin_transaction()
    producer.produce(f"{desk.settings.topic_prefix}in", event(2).value, partition=0)
    producer.commit_transaction()
    desk.send([in_partition(event(3), 0)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=3, holes=1)


async def test_a_log_that_ends_in_control_records_is_read_to_its_end(desk: Desk) -> None:
    producer = transactional(desk, f"{desk.settings.topic_prefix}tx")
    for number in range(3):
        producer.begin_transaction()
        producer.produce(f"{desk.settings.topic_prefix}in", event(number).value, partition=0)
        producer.commit_transaction()
    async with running(desk.settings, Toy()):
        await desk.until(applied=3, holes=3)
    desk.send([in_partition(event(9), 0)])
    async with running(desk.settings, Toy()) as spine:
        await desk.until(applied=4, holes=3)
        await eventually(lambda: spine.problems() == {})


async def test_records_of_an_aborted_transaction_are_never_applied(desk: Desk) -> None:
    producer = transactional(desk, f"{desk.settings.topic_prefix}tx")
    producer.begin_transaction()
    producer.produce(f"{desk.settings.topic_prefix}in", event(1, person="ghost").value, partition=0)
    producer.flush()
    producer.abort_transaction()
    desk.send([in_partition(event(2), 0)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=1, holes=2)
    assert await desk.totals() == {"ann": 1}


async def test_records_that_retention_removed_before_they_were_read_stop_the_partition(desk: Desk) -> None:
    desk.send([in_partition(event(n), 0) for n in range(3)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=3)
    desk.send([in_partition(event(n), 0) for n in range(3, 9)])
    admin = AdminClient({"bootstrap.servers": desk.settings.kafka_bootstrap})
    topic = f"{desk.settings.topic_prefix}in"
    for future in admin.delete_records([TopicPartition(topic, 0, 6)]).values():
        future.result(30)
    await stopped(desk, "retention removed records")
    assert (await desk.counters())["applied"] == 3


async def test_records_that_retention_removed_after_they_were_applied_are_not_missed(desk: Desk) -> None:
    desk.send([in_partition(event(n), 0) for n in range(3)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=3)
    admin = AdminClient({"bootstrap.servers": desk.settings.kafka_bootstrap})
    topic = f"{desk.settings.topic_prefix}in"
    for future in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
        future.result(30)
    desk.send([in_partition(event(4), 0)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=4)


async def test_a_recreated_topic_that_is_shorter_stops_the_partition(desk: Desk) -> None:
    await recreate(desk, before=5, after=2)
    await stopped(desk, "truncated or recreated")


async def test_a_recreated_topic_that_is_longer_stops_the_partition_too(desk: Desk) -> None:
    await recreate(desk, before=3, after=8)
    await stopped(desk, "truncated or recreated")
    assert (await desk.counters())["applied"] == 3


async def test_a_topic_recreated_while_kafka_could_not_be_read_stops_the_partition(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease was held all the time, so nothing is claimed anew; the client is, after five failures."""
    desk.send([in_partition(event(n), 0) for n in range(3)])
    async with running(desk.settings, Toy()) as spine:
        await desk.until(applied=3)
        with monkeypatch.context() as patch:
            patch.setattr(loop, "FAILURES_MAX", 1)
            patch.setattr(kafka.Consumer, "poll", away)
            patch.setattr(kafka.Consumer, "start", away)
            await eventually(lambda: all(one._consumer is None for one in spine.loops))
            await replace(desk, after=8)
        await eventually(lambda: "truncated or recreated" in spine.problems().get("in/0", ""))
    assert (await desk.counters())["applied"] == 3


async def test_while_the_observer_cannot_see_kafka_the_log_is_in_doubt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reading client says nothing while Kafka is away, and nothing when it is back."""
    desk.send([in_partition(event(n), 0) for n in range(3)])
    async with running(desk.settings, Toy()) as spine:
        await desk.until(applied=3)
        await eventually(lambda: not spine.observer.ready() and not spine.problems())
        with monkeypatch.context() as patch:
            patch.setattr(kafka.Consumer, "bounds", away)
            await eventually(lambda: spine.observer.ready())
            await eventually(lambda: "kafka" in spine.problems())
        await eventually(lambda: not spine.problems())
        assert {place: cursor.next for place, cursor in spine.cursors().items()}["in", 0] == 3


async def away(*_: object) -> NoReturn:
    raise kafka.KafkaAway("Kafka is out of sight.")


async def test_an_id_that_postgres_cannot_hold_is_recognised_at_the_next_claim(desk: Desk) -> None:
    odd = Record(event(1).value, headers={"ce_id": b"a\x00b", "ce_source": b"test"})
    desk.send([in_partition(odd, 0)])
    async with running(desk.settings, Toy()):
        await desk.until(quarantined=1)
    desk.send([in_partition(event(2), 0)])
    async with running(desk.settings, Toy()) as spine:
        await eventually(lambda: spine.cursors().get(("in", 0)))
        await desk.until_passed(2)
        assert spine.problems() == {}
    assert (await desk.counters())["applied"] == 1


async def recreate(desk: Desk, *, before: int, after: int) -> None:
    """Apply `before` records, then put a new topic with `after` other records in the place of the old one."""
    desk.send([in_partition(event(n), 0) for n in range(before)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=before)
    await replace(desk, after=after)


async def replace(desk: Desk, *, after: int) -> None:
    """Put a new topic with `after` other records in the place of the old one."""
    topic = f"{desk.settings.topic_prefix}in"
    delete_topics(desk.settings.kafka_bootstrap, topic)
    known = AdminClient({"bootstrap.servers": desk.settings.kafka_bootstrap})
    await eventually(lambda: topic not in known.list_topics(timeout=30).topics)
    create_topics(desk.settings.kafka_bootstrap, {topic: PARTITIONS})
    desk.send([in_partition(event(1000 + n), 0) for n in range(after)])


async def test_partitions_added_while_running_are_read_from_their_start(desk: Desk) -> None:
    async with running(desk.settings, Toy()) as spine:
        await eventually(lambda: len([p for p in spine.keeper.held if p[0] == "in"]) == PARTITIONS)
        admin = AdminClient({"bootstrap.servers": desk.settings.kafka_bootstrap})
        for future in admin.create_partitions([NewPartitions(f"{desk.settings.topic_prefix}in", 5)]).values():
            future.result(30)
        desk.send([in_partition(event(1), 4)])
        spine.observer.look_for_partitions()
        await desk.until(applied=1)


async def test_the_offsets_that_lag_tools_look_at_follow(desk: Desk) -> None:
    desk.send([in_partition(event(n), 0) for n in range(4)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=4)
    group = f"{desk.settings.topic_prefix}funnel-toy"
    consumer = Consumer({"bootstrap.servers": desk.settings.kafka_bootstrap, "group.id": group})
    try:
        (committed,) = consumer.committed([TopicPartition(f"{desk.settings.topic_prefix}in", 0)], timeout=30)
        assert committed.offset == 4
    finally:
        consumer.close()
