"""Topics as any consumer may read them: read_committed, by a client that shares nothing with the product's."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Final, NoReturn, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from chaos.checker.product import TOPICS

ANSWER_SECONDS: Final = 30.0
SILENCE_SECONDS: Final = 60.0
"""How long a broker may send nothing before reading is given up."""

BATCH: Final = 5000

LEADER_MOVES: Final = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})

Bounds = dict[int, tuple[int, int]]


class Log:
    """The topics of a deployment. Raises KafkaException when the broker does not answer."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._prefix = prefix
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "chaos-checker",  # asked for by the client; nothing is committed under it
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
            }
        )

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    def ends(self) -> Mapping[tuple[str, int], int]:
        """The end of each partition of each topic that is there, by logical name."""
        return {(topic, number): high for topic in self._topics() for number, (_, high) in self._bounds(topic).items()}

    def write(self, folder: Path) -> None:
        """Write each topic to `folder`/topic.jsonl, and its bounds; a topic that is not there is an empty one."""
        folder.mkdir(parents=True, exist_ok=True)
        there = self._topics()
        for topic in TOPICS:
            bounds = self._bounds(topic) if topic in there else {}
            (folder / f"{topic}.bounds.json").write_text(json.dumps(bounds), encoding="utf-8")
            with (folder / f"{topic}.jsonl").open("w", encoding="utf-8", errors="backslashreplace") as file:
                self._copy(topic, bounds, file)

    def _topics(self) -> Sequence[str]:
        there = self._consumer.list_topics(timeout=ANSWER_SECONDS).topics
        return [topic for topic in TOPICS if self._prefix + topic in there]

    def _bounds(self, topic: str) -> Bounds:
        name = self._prefix + topic
        known = self._consumer.list_topics(name, timeout=ANSWER_SECONDS).topics[name]
        if known.error is not None:
            raise KafkaException(known.error)
        return {number: self._bounds_of(TopicPartition(name, number)) for number in sorted(known.partitions)}

    def _bounds_of(self, partition: TopicPartition) -> tuple[int, int]:
        """First offset and end. A leader that was chosen a moment ago may not know it yet."""
        give_up = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                if (bounds := self._consumer.get_watermark_offsets(partition, timeout=ANSWER_SECONDS)) is not None:
                    return bounds
            except KafkaException as error:
                if error.args[0].code() not in LEADER_MOVES or time.monotonic() > give_up:
                    raise
            if time.monotonic() > give_up:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            time.sleep(0.1)

    def _copy(self, topic: str, bounds: Bounds, file: IO[str]) -> None:
        """Write every record below the ends; those that come while reading are of a later moment."""
        name = self._prefix + topic
        unfinished = {number for number, (low, high) in bounds.items() if low < high}
        self._consumer.assign([TopicPartition(name, number, bounds[number][0]) for number in sorted(unfinished)])
        give_up = time.monotonic() + SILENCE_SECONDS
        while unfinished:
            for message in self._consumer.consume(BATCH, timeout=0.5):
                give_up = time.monotonic() + SILENCE_SECONDS
                number, offset = cast("int", message.partition()), cast("int", message.offset())
                if (error := message.error()) is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    unfinished.discard(number)
                    continue
                high = bounds[number][1]
                if offset < high:
                    file.write(_line(message))
                if offset >= high - 1:
                    unfinished.discard(number)
            if time.monotonic() > give_up:
                _silent(name, unfinished)
        self._consumer.unassign()


def _silent(name: str, unfinished: set[int]) -> NoReturn:
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{name}: nothing came of partitions {sorted(unfinished)}"))


def _line(message: Message[bytes, bytes]) -> str:
    """The record as a line of the history. The value stands in it as it is, so that reading it takes no second look."""
    raw = message.value()
    value = None if raw is None else _as_object(raw)
    headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    about = {
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp_ms": message.timestamp()[1],
        "key": _text(message.key()),
        "headers": {name: _text(told) for name, told in headers},
        "sha256": sha256(raw or b"").hexdigest(),
    }
    if value is None and raw is not None:
        about["raw"] = base64.b64encode(raw).decode()
    return f'{json.dumps(about, ensure_ascii=False)[:-1]}, "value": {value or "null"}}}\n'


def _as_object(raw: bytes) -> str | None:
    """The text of a JSON object on one line, or None for anything else."""
    try:
        text = raw.decode()
        found = json.loads(text, parse_constant=_not_json)
    except (ValueError, RecursionError):
        return None
    return text.replace("\n", " ").replace("\r", " ") if isinstance(found, dict) else None


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _text(raw: bytes | str | None) -> str | None:
    return raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
