"""From fetched records to chunks that may be applied: pure rules about offsets, gaps and undecodable bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from funnel.envelope import SUSPECT, header
from funnel.errors import PartitionStopped, Poison, UnknownVersion
from funnel.kafka.consumer import Partition, Record
from funnel.spine.model import Decoder, Message

HASH_BYTES = 16


@dataclass(slots=True)
class Cursor:
    """Where one held partition stands in this process; Postgres has the truth, under the same `epoch`."""

    epoch: int
    next: int
    verify: str | None = None  # fingerprint that the record at next - 1 must have; read once after a claim
    gap: tuple[int, int] | None = None  # from and up to which offset one was seen once, and is being looked at again
    waiting: str | None = None  # paused for a reason that may pass
    retry_at: float = 0.0
    stopped: str | None = None  # needs a person

    @property
    def fetch_from(self) -> int:
        """The offset to read from, including the record that proves the log is the same one."""
        return self.next - 1 if self.verify is not None else self.next

    def missing_to(self, offset: int) -> int:
        """Up to where the offsets from `offset` on were missing at the last look; `offset` when it was not missing."""
        return self.gap[1] if self.gap is not None and self.gap[0] == offset else offset


@dataclass(frozen=True, slots=True)
class Poisoned:
    """A record that cannot become a message; what is known of its identity, and why."""

    topic: str
    record: Record
    source: str
    event_id: str
    reason: str


Item = Message[Any] | Poisoned


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive items of one partition: applied together, or not at all.

    `holes` offsets that hold no record come before the items; with no items at all, nothing but holes was passed.
    """

    partition: Partition
    epoch: int
    expected: int
    items: Sequence[Item]
    holes: int

    @property
    def next(self) -> int:
        """The offset to go on from."""
        return self.items[-1].record.offset + 1 if self.items else self.expected + self.holes

    @property
    def last(self) -> str | None:
        """The fingerprint of the record before `next`; None when that offset holds none."""
        return fingerprint(self.items[-1].record) if self.items else None

    def halves(self) -> tuple[Chunk, Chunk]:
        """Two chunks that together are this one. Needs at least two items."""
        middle = len(self.items) // 2
        first = Chunk(self.partition, self.epoch, self.expected, self.items[:middle], self.holes)
        return first, Chunk(self.partition, self.epoch, first.next, self.items[middle:], 0)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The records that may be applied now. `refetch`: a gap follows, read again from where the cursor then stands."""

    records: Sequence[Record]
    holes: int
    refetch: bool


def storable(text: str) -> str:
    """`text` as Postgres can hold it: NUL and lone surrogates made visible."""
    return text.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode()


def fingerprint(record: Record) -> str:
    """What identifies a record at its offset, as Postgres keeps it: its event id, or a hash where there is none."""
    return storable(header(record.headers, "ce_id") or blake2b(record.value or b"", digest_size=HASH_BYTES).hexdigest())


def admit(cursor: Cursor, records: Sequence[Record]) -> Admitted:
    """Which of the fetched `records` follow without a gap; updates the cursor's doubts, not its position.

    The first sight of a gap asks for a refetch; what is missing at the second sight too holds no records (control
    records of transactions), which the caller confirms against the log start. Raises PartitionStopped when the record
    before the position, at the second look too where it is missing, is not the one that was applied: the log was
    truncated or recreated.
    """
    if cursor.verify is not None:
        first = records[0]
        if first.offset > cursor.missing_to(cursor.fetch_from):
            cursor.gap = (cursor.fetch_from, first.offset)
            return Admitted((), 0, refetch=True)
        if first.offset != cursor.next - 1 or fingerprint(first) != cursor.verify:
            raise PartitionStopped(
                f"The record at offset {cursor.next - 1} is not the one that was applied "
                f"(found {fingerprint(first)} at {first.offset}, expected {cursor.verify}): "
                "the topic was truncated or recreated."
            )
        cursor.verify = None
        records = records[1:]
    if records and records[0].offset < cursor.next:
        records = [record for record in records if record.offset >= cursor.next]
    if not records:
        return Admitted((), 0, refetch=False)
    holes = records[0].offset - cursor.next
    if records[0].offset > cursor.missing_to(cursor.next):
        cursor.gap = (cursor.next, records[0].offset)
        return Admitted((), 0, refetch=True)
    straight = _straight(records)
    if len(straight) < len(records):
        cursor.gap = (straight[-1].offset + 1, records[len(straight)].offset)
        return Admitted(straight, holes, refetch=True)
    cursor.gap = None
    return Admitted(straight, holes, refetch=False)


def _straight(records: Sequence[Record]) -> Sequence[Record]:
    """The longest prefix with consecutive offsets."""
    start = records[0].offset
    if records[-1].offset - start == len(records) - 1:
        return records
    for index, record in enumerate(records):
        if record.offset != start + index:
            return records[:index]
    return records


def decode(topic: str, records: Sequence[Record], decoders: Mapping[str, Decoder]) -> tuple[list[Item], str | None]:
    """The records as items, up to the first in a schema version we do not know yet (then with the reason)."""
    items: list[Item] = []
    decoder = decoders[topic]
    for record in records:
        try:
            items.append(_message(topic, record, decoder))
        except Poison as error:
            source, event_id = _identity(topic, record)
            items.append(Poisoned(topic, record, source, event_id, str(error)))
        except UnknownVersion as error:
            return items, str(error)
    return items, None


def _message(topic: str, record: Record, decoder: Decoder) -> Message[Any]:
    try:
        headers = {name: value.decode() for name, value in record.headers}
    except (UnicodeDecodeError, AttributeError) as error:
        raise Poison("a header has no text") from error
    if SUSPECT in headers:
        raise Poison(f"suspect: {headers[SUSPECT]}")
    raw = record.value
    if raw is None:
        raise Poison("the record has no value")
    value = decoder(raw, headers.get("ce_dataschema"))
    source, event_id = headers.get("ce_source"), headers.get("ce_id")
    if source is None or event_id is None:
        source = getattr(value, "source", None) or f"kafka:{topic}"
        event_id = getattr(value, "event_id", None) or _place(topic, record)
    digest = headers.get("ce_bodyhash")
    try:
        body_hash = bytes.fromhex(digest) if digest else blake2b(raw, digest_size=HASH_BYTES).digest()
    except ValueError as error:
        raise Poison("header ce_bodyhash is not hexadecimal") from error
    kind = headers.get("ce_type") or getattr(value, "type", "") or ""
    return Message(source, event_id, kind, topic, value, body_hash, record, headers.get("traceparent"))


def _identity(topic: str, record: Record) -> tuple[str, str]:
    return (
        header(record.headers, "ce_source") or f"kafka:{topic}",
        header(record.headers, "ce_id") or _place(topic, record),
    )


def _place(topic: str, record: Record) -> str:
    return f"{topic}/{record.partition}/{record.offset}"
