"""Kafka seen by a client that shares no code with the product's (confluent-kafka)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

# Bounds on a hang, not statements about speed.
_ANSWER_SECONDS = 30.0
_POLL_SECONDS = 0.1
_ANY_PARTITION = -1
_NOT_KNOWN_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._UNKNOWN_PARTITION)


@dataclass(frozen=True, slots=True)
class Record:
    """One record. Header values are bytes; `partition` None lets the client choose by the key."""

    value: bytes | None
    key: bytes | None = None
    headers: Mapping[str, bytes] = field(default_factory=dict)
    partition: int | None = None
    offset: int = -1
    timestamp_ms: int = 0


def create_topics(bootstrap: str, partitions: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
    """Create topics (full name -> number of partitions) with one replica, and wait until they can be used."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [NewTopic(name, count, 1, config=dict(config or {})) for name, count in partitions.items()]
    for future in admin.create_topics(wanted).values():
        future.result(_ANSWER_SECONDS)
    give_up = time.monotonic() + _ANSWER_SECONDS
    while not _all_led(admin, partitions):
        assert time.monotonic() < give_up, f"{sorted(partitions)} have no leaders yet"
        time.sleep(_POLL_SECONDS)


def _all_led(admin: AdminClient, partitions: Mapping[str, int]) -> bool:
    known = admin.list_topics(timeout=_ANSWER_SECONDS).topics
    return all(
        name in known
        and len(known[name].partitions) == count
        and all(p.leader >= 0 for p in known[name].partitions.values())
        for name, count in partitions.items()
    )


def delete_topics(bootstrap: str, prefix: str) -> None:
    """Delete every topic whose name starts with `prefix`."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    names = [name for name in admin.list_topics(timeout=_ANSWER_SECONDS).topics if name.startswith(prefix)]
    if names:
        for future in admin.delete_topics(names).values():
            future.result(_ANSWER_SECONDS)


def produce(
    bootstrap: str, topic: str, records: Iterable[Record], config: Mapping[str, str | int | bool] | None = None
) -> list[tuple[int, int]]:
    """Write records, and return the (partition, offset) of each, in their order.

    `config` holds librdkafka settings, e.g. {"compression.type": "lz4"}. Raises KafkaException when one is refused.
    """
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, **(config or {})})
    positions: dict[int, tuple[int, int]] = {}
    failures: list[KafkaError] = []
    sent = 0
    for index, record in enumerate(records):

        def delivered(error: KafkaError | None, message: Message, index: int = index) -> None:
            if error is not None:
                failures.append(error)
            else:
                positions[index] = (message.partition() or 0, message.offset() or 0)

        producer.produce(
            topic,
            value=record.value,
            key=record.key,
            headers=list(record.headers.items()),
            partition=_ANY_PARTITION if record.partition is None else record.partition,
            on_delivery=delivered,
        )
        producer.poll(0)
        sent += 1
    producer.flush(_ANSWER_SECONDS)
    if failures:
        raise KafkaException(failures[0])
    assert len(positions) == sent, f"{sent - len(positions)} of {sent} records were not acknowledged"
    return [positions[index] for index in range(sent)]


def read_all(bootstrap: str, topic: str) -> list[Record]:
    """Every record the topic holds now, ordered by partition and offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tests-read-all",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        known = consumer.list_topics(topic, timeout=_ANSWER_SECONDS).topics[topic]
        if known.error is not None:
            raise KafkaException(known.error)
        return _drain(consumer, topic, sorted(known.partitions))
    finally:
        consumer.close()


def _drain(consumer: Consumer, topic: str, partitions: Sequence[int]) -> list[Record]:
    starts = []
    for partition in partitions:
        low, high = _bounds(consumer, TopicPartition(topic, partition))
        if high > low:
            starts.append(TopicPartition(topic, partition, low))
    consumer.assign(starts)
    unfinished = {start.partition for start in starts}
    records: list[Record] = []
    give_up = time.monotonic() + _ANSWER_SECONDS
    while unfinished:
        for message in consumer.consume(1000, timeout=_POLL_SECONDS):
            error = message.error()
            if error is None:
                records.append(_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition() or 0)
            else:
                raise KafkaException(error)
        assert time.monotonic() < give_up, f"partitions {sorted(unfinished)} of {topic} did not end"
    return sorted(records, key=lambda record: (record.partition or 0, record.offset))


def _bounds(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    """First offset and end; a topic made a moment ago may have a leader that does not know it yet."""
    give_up = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            low, high = consumer.get_watermark_offsets(partition, timeout=_ANSWER_SECONDS)
        except KafkaException as error:
            if error.args[0].code() not in _NOT_KNOWN_YET or time.monotonic() > give_up:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return low, high


def _record(message: Message[bytes, bytes]) -> Record:
    return Record(
        value=message.value(),
        key=message.key(),
        headers=dict(cast("list[tuple[str, bytes]]", message.headers() or [])),
        partition=message.partition(),
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
    )
