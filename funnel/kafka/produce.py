"""Produce requests and their answers, as bytes: what aiokafka does field by field, in one go.

Its own encoder copies a batch eight times on its way to the socket, once for each level of the message, and takes
longer for a small request than all else that is done to send it. A test holds the two equal.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final, NamedTuple

from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.produce import ProduceRequest

ALL_IN_SYNC: Final = -1

_SAME_FROM, _SAME_TO = 5, 7
"""API versions with one and the same form of request and answer. Brokers from Kafka 1.0 on speak one of them."""

_head = struct.Struct(">hhii")  # transactional id (null), acks, timeout, number of topics
_count = struct.Struct(">i")
_text_length = struct.Struct(">h")
_batch_head = struct.Struct(">ii")  # partition, length
_answer = struct.Struct(">ihqqq")  # partition, error, offset, time of appending, start of the log


class Place(NamedTuple):
    """A partition of a topic, by its full name."""

    topic: str
    partition: int


Batch = bytes | bytearray
"""Records of one partition, as they lie in the log."""

Answers = Mapping[Place, int | KafkaError]
"""The offset of the first record of each batch, or why it is not stored."""


class Produce(ProduceRequest):  # type: ignore[misc]
    """A request that brings its batches to one broker. Bytes are only put together once, by `encode`."""

    def __init__(self, batches: Sequence[tuple[Place, Batch]], timeout_ms: int) -> None:
        topics: dict[str, list[tuple[int, Batch]]] = {}
        for place, batch in batches:
            topics.setdefault(place.topic, []).append((place.partition, batch))
        super().__init__(None, ALL_IN_SYNC, timeout_ms, list(topics.items()))

    def build(self, request_struct_class: Any) -> Any:
        """What aiokafka's connection sends: its own struct, with our encoder and decoder."""
        built = super().build(request_struct_class)
        if _SAME_FROM <= request_struct_class.API_VERSION <= _SAME_TO:
            built.encode = self.encode
            built.RESPONSE_TYPE = Produced
        return built

    def encode(self) -> bytes:
        """The body of the request."""
        parts = [_head.pack(-1, ALL_IN_SYNC, self._timeout, len(self._topics))]
        for topic, batches in self._topics:
            name = topic.encode()
            parts += (_text_length.pack(len(name)), name, _count.pack(len(batches)))
            for partition, batch in batches:
                parts += (_batch_head.pack(partition, len(batch)), batch)
        return b"".join(parts)


class Produced:
    """The answer to a `Produce`."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    @classmethod
    def decode(cls, data: BytesIO) -> Produced:
        """Read from the body of a response."""
        raw = data.read()
        (topics,), at = _count.unpack_from(raw), _count.size
        answers: dict[Place, int | KafkaError] = {}
        for _ in range(topics):
            (length,), at = _text_length.unpack_from(raw, at), at + _text_length.size
            topic, at = raw[at : at + length].decode(), at + length
            (partitions,), at = _count.unpack_from(raw, at), at + _count.size
            for _ in range(partitions):
                partition, code, offset, _, _ = _answer.unpack_from(raw, at)
                answers[Place(topic, partition)] = answer_of(code, offset)
                at += _answer.size
        return cls(answers)


def answers_in(response: Any) -> Answers:
    """The answers in a response of whatever version."""
    if isinstance(response, Produced):
        return response.answers
    return {
        Place(topic, partition): answer_of(code, offset)
        for topic, partitions in response.topics
        for partition, code, offset, *_ in partitions
    }


def answer_of(code: int, offset: int) -> int | KafkaError:
    """The offset, or the error that `code` stands for."""
    return for_code(code)() if code else offset
