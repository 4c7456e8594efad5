"""The CloudEvents envelope, carried in Kafka headers (`ce_*`) beside a plain JSON value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

Headers = Sequence[tuple[str, bytes]]

SUSPECT = "ce_suspect"
"""The header by which ingest says that a record may be spam, and why. It waits in quarantine for a person."""

_encoder = msgspec.json.Encoder()
_packer = msgspec.msgpack.Encoder()
_unpacker = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to publish. `topic` is the logical name; (`ce_source`, `ce_id`) identifies it for ever."""

    topic: str
    key: str
    value: bytes
    ce_id: str
    ce_type: str
    ce_source: str
    ce_time: datetime
    ce_subject: str
    ce_dataschema: str
    traceparent: str | None = None

    def headers(self) -> list[tuple[str, bytes]]:
        """The envelope as Kafka headers, in a fixed order: a repeat is byte-identical."""
        pairs = [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.ce_id.encode()),
            ("ce_type", self.ce_type.encode()),
            ("ce_source", self.ce_source.encode()),
            ("ce_time", format_time(self.ce_time).encode()),
            ("ce_subject", self.ce_subject.encode()),
            ("ce_dataschema", self.ce_dataschema.encode()),
            ("content-type", b"application/json"),
        ]
        if self.traceparent:
            pairs.append(("traceparent", self.traceparent.encode()))
        return pairs


def outgoing(
    topic: str,
    value: Any,
    *,
    key: str,
    ce_id: str,
    ce_type: str,
    ce_source: str,
    at: datetime,
    subject: str,
    dataschema: str,
    traceparent: str | None = None,
) -> Outgoing:
    """An `Outgoing` whose value is the JSON of the struct `value`."""
    return Outgoing(topic, key, _encoder.encode(value), ce_id, ce_type, ce_source, at, subject, dataschema, traceparent)


@lru_cache(maxsize=256)  # a batch publishes many records of one moment
def format_time(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds and `Z`. Raises ValueError for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError("a time on the wire needs a zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def pack_headers(headers: Headers) -> bytes:
    """Headers as one value for a table (MessagePack), read back by `unpack_headers`."""
    return _packer.encode(headers)


def unpack_headers(packed: bytes) -> list[tuple[str, bytes]]:
    """What `pack_headers` was given."""
    return _unpacker.decode(packed)


def header(headers: Headers, name: str) -> str | None:
    """The text of a header, or None when absent or not UTF-8."""
    for key, value in headers:
        if key == name:
            try:
                return value.decode()
            except (UnicodeDecodeError, AttributeError):
                return None
    return None
