"""Gaps, control records, retention, recreated topics: what may pass is counted, the rest stops loudly."""

from __future__ import annotations

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from tests.integration.spine.conftest import PARTITIONS, Desk, event, in_partition
from tests.support.eventually import eventually
from tests.support.kafka import create_topics, delete_topics
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


async def recreate(desk: Desk, *, before: int, after: int) -> None:
    """Apply `before` records, then put a new topic with `after` other records in the place of the old one."""
    desk.send([in_partition(event(n), 0) for n in range(before)])
    async with running(desk.settings, Toy()):
        await desk.until(applied=before)
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
