"""Records written to and read from topics by a client that shares no code with the product's (confluent-kafka)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.errors import RunFailed

PARTITIONS = 12
ANSWER_SECONDS = 30.0
_QUEUE_FULL_SECONDS = 0.05
_POLL_SECONDS = 0.1
_QUIET = {"log_level": 3}  # errors only: a broker that has just been started makes it warn


class Record(NamedTuple):
    """A record to write, or one that was read (then with its place)."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = -1
    offset: int = -1

    def header(self, name: str) -> str:
        """The text of a header; empty without it."""
        return next((value.decode() for key, value in self.headers if key == name), "")


def create_topics(bootstrap: str, names: Iterable[str]) -> None:
    """Create topics with `PARTITIONS` partitions and one replica, and wait for their leaders."""
    admin = AdminClient({**_QUIET, "bootstrap.servers": bootstrap})
    wanted = [NewTopic(name, PARTITIONS, 1) for name in names]
    for future in admin.create_topics(wanted).values():
        future.result(ANSWER_SECONDS)
    give_up = time.monotonic() + ANSWER_SECONDS
    while not all(_is_led(admin, topic.topic) for topic in wanted):
        if time.monotonic() > give_up:
            raise RunFailed("Kafka elects no leaders for new topics.")
        time.sleep(_POLL_SECONDS)


def _is_led(admin: AdminClient, name: str) -> bool:
    topic = admin.list_topics(timeout=ANSWER_SECONDS).topics.get(name)
    return (
        topic is not None
        and len(topic.partitions) == PARTITIONS
        and all(p.leader >= 0 for p in topic.partitions.values())
    )


def delete_topics(bootstrap: str, prefix: str) -> None:
    """Delete every topic whose name starts with `prefix`."""
    admin = AdminClient({**_QUIET, "bootstrap.servers": bootstrap})
    names = [name for name in admin.list_topics(timeout=ANSWER_SECONDS).topics if name.startswith(prefix)]
    if names:
        for future in admin.delete_topics(names).values():
            future.result(ANSWER_SECONDS)


def fill(bootstrap: str, topic: str, records: Iterable[Record], advance: Callable[[int], None]) -> None:
    """Write records in order, by key to the partitions that the product would choose. Raises RunFailed.

    They lie in the log in large batches, as ingest writes batches; `advance` is told how many were handed over.
    """
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message[Any, Any]) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer(
        {
            **_QUIET,
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,  # keeps the order over retries
            "partitioner": "murmur2_random",
            "linger.ms": 20,
        }
    )
    for count, record in enumerate(records, start=1):
        while not _handed_over(producer, topic, record, delivered):
            producer.poll(_QUEUE_FULL_SECONDS)
        if count % 1000 == 0:
            producer.poll(0)
            advance(1000)
    left = producer.flush(ANSWER_SECONDS)
    if failures or left:
        raise RunFailed(f"Kafka did not take every record of {topic}: {failures[:1] or f'{left} not acknowledged'}.")


def _handed_over(
    producer: Producer, topic: str, record: Record, delivered: Callable[[KafkaError | None, Message[Any, Any]], None]
) -> bool:
    try:
        producer.produce(topic, value=record.value, key=record.key, headers=list(record.headers), on_delivery=delivered)
    except BufferError:  # its queue is full
        return False
    return True


class Reader:
    """Reads all partitions of a topic from their beginning, committed records only."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._consumer = Consumer(
            {
                **_QUIET,
                "bootstrap.servers": bootstrap,
                "group.id": "bench",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
            }
        )
        known = self._consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
        if known.error is not None:
            raise KafkaException(known.error)
        self._partitions = sorted(known.partitions)
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in self._partitions])

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def next(self, seconds: float) -> Record | None:
        """The next record at the moment it arrives, or None when none does in time."""
        message = self._consumer.poll(seconds)
        return None if message is None or self._is_end(message) else _record(message)

    def until_end(self) -> Iterator[Record]:
        """Every record up to the ends of the partitions, in order within each; for a new reader. Raises RunFailed."""
        unfinished = set(self._partitions)
        give_up = time.monotonic() + ANSWER_SECONDS
        while unfinished:
            for message in self._consumer.consume(5000, timeout=_POLL_SECONDS):
                if self._is_end(message):
                    unfinished.discard(message.partition() or 0)
                else:
                    give_up = time.monotonic() + ANSWER_SECONDS
                    yield _record(message)
            if time.monotonic() > give_up:
                raise RunFailed(f"Partitions {sorted(unfinished)} of {self._topic} do not end.")

    def _is_end(self, message: Message[Any, Any]) -> bool:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        return error is not None


def read_all(bootstrap: str, topic: str) -> list[Record]:
    """Every committed record of `topic`, in order within its partition."""
    with Reader(bootstrap, topic) as reader:
        return list(reader.until_end())


def count(bootstrap: str, topic: str) -> int:
    """How many records were ever written to `topic`."""
    asker = Consumer({**_QUIET, "bootstrap.servers": bootstrap, "group.id": "bench"})  # one that reads answers late
    try:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        return sum(asker.get_watermark_offsets(place, timeout=ANSWER_SECONDS)[1] for place in places)
    finally:
        asker.close()


def _record(message: Message[Any, Any]) -> Record:
    headers: Any = message.headers() or []
    return Record(
        message.key() or b"", message.value() or b"", headers, message.partition() or 0, message.offset() or 0
    )
