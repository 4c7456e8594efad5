"""What rows look at: readiness, positions, numbers in tables, records of a topic. Everything here blocks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

import httpx
import psycopg
from confluent_kafka import Consumer, Message, TopicPartition

from chaos.errors import RowFailed
from chaos.run import Run

_ANSWER_SECONDS: Final = 10.0
_READ_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """A record with all that a copy of it needs."""

    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """About its bytes in a batch."""
        return len(self.key) + len(self.value) + sum(len(name) + len(text) + 2 for name, text in self.headers) + 8

    @property
    def identity(self) -> tuple[str, str]:
        """Source and event id."""
        named = dict(self.headers)
        return named["ce_source"].decode(), named["ce_id"].decode()


def problems(run: Run, service: str) -> Mapping[str, str]:
    """What /readyz of a service complains of, by check; empty when it is ready. Raises httpx.HTTPError."""
    answer = httpx.get(f"{run.settings.url_of(service)}/readyz", timeout=_ANSWER_SECONDS, trust_env=False)
    told: dict[str, str] = answer.json().get("problems", {})
    if (answer.status_code == httpx.codes.OK) == bool(told):
        raise RowFailed(f"{service} answers {answer.status_code} at /readyz and names {told or 'no problem'}")
    return told


def metric(run: Run, service: str, line: str) -> int:
    """The value of a metric, given as name and labels; 0 where it is not told. Raises httpx.HTTPError."""
    text = httpx.get(f"{run.settings.url_of(service)}/metrics", timeout=_ANSWER_SECONDS, trust_env=False).text
    return int(float(next((one[len(line) :] for one in text.splitlines() if one.startswith(f"{line} ")), "0")))


def positions(run: Run, service: str, topic: str) -> dict[int, int]:
    """The next offset of each partition that the service has begun to read. Raises psycopg.Error."""
    rows = run.watcher.positions()
    return {one["partition"]: one["next"] for one in rows if one["service"] == service and one["topic"] == topic}


def count(run: Run, statement: LiteralString, *values: object) -> int:
    """The only number that a statement finds. Raises psycopg.Error."""
    with psycopg.connect(run.dsn) as connection:
        found = connection.execute(statement, values).fetchone()
    return int(found[0]) if found else 0


def read_all(run: Run, topic: str) -> dict[int, Sequence[Held]]:
    """Every record of a topic by partition, as an independent client reads it. Raises KafkaException, RowFailed."""
    consumer = Consumer(
        {"bootstrap.servers": run.brokers.direct, "group.id": run.topic("chaos-copy"), "enable.auto.commit": False,
         "log_level": 0}
    )  # fmt: skip
    name = run.topic(topic)
    try:
        found: dict[int, Sequence[Held]] = {}
        for number in consumer.list_topics(name, timeout=_ANSWER_SECONDS).topics[name].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(name, number), timeout=_ANSWER_SECONDS)
            found[number] = _read(consumer, TopicPartition(name, number, low), high)
        return found
    finally:
        consumer.close()


def _read(consumer: Consumer, start: TopicPartition, high: int) -> list[Held]:
    held: list[Held] = []
    next_, give_up = start.offset, time.monotonic() + _READ_SECONDS
    consumer.assign([start])
    while next_ < high:
        for message in consumer.consume(1000, timeout=1.0):
            if message.error() is None:
                held.append(_held(message))
                next_ = held[-1].offset + 1
        if time.monotonic() > give_up:
            raise RowFailed(f"{start.topic}/{start.partition} cannot be read past {next_}, and ends at {high}")
    return held


def _held(message: Message) -> Held:
    headers = [(name, _bytes(text)) for name, text in dict(message.headers() or []).items()]
    return Held(message.offset() or 0, message.timestamp()[1], _bytes(message.key()), _bytes(message.value()), headers)


def _bytes(content: str | bytes | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""
