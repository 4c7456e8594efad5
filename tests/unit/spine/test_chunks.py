"""Which fetched records may be applied: offsets, gaps, the proof that the log is the same one, undecodable bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from funnel.errors import PartitionStopped, Poison, UnknownVersion
from funnel.spine.chunks import Chunk, Cursor, Poisoned, admit, decode, fingerprint
from funnel.spine.model import Message


@dataclass(frozen=True)
class FakeRecord:
    offset: int
    value: bytes | None = b'{"n": 1}'
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = "t1.in"
    partition: int = 0
    timestamp: int = 0
    key: bytes | None = field(default=b"k")


def records(*offsets: int) -> list[FakeRecord]:
    return [FakeRecord(offset, headers=(("ce_id", b"e%d" % offset), ("ce_source", b"s"))) for offset in offsets]


def test_records_that_start_at_the_position_are_admitted() -> None:
    admitted = admit(Cursor(epoch=1, next=5), records(5, 6, 7))
    assert ([r.offset for r in admitted.records], admitted.holes, admitted.refetch) == ([5, 6, 7], 0, False)


def test_a_gap_is_read_again_before_it_is_believed() -> None:
    cursor = Cursor(epoch=1, next=5)
    first = admit(cursor, records(7, 8))
    assert (list(first.records), first.refetch) == ([], True)
    second = admit(cursor, records(7, 8))
    assert ([r.offset for r in second.records], second.holes, second.refetch) == ([7, 8], 2, False)


def test_a_gap_that_is_longer_at_the_second_look_is_read_once_more() -> None:
    """One look may have met control records, and the next a client that skipped a record behind them."""
    cursor = Cursor(epoch=1, next=5)
    admit(cursor, records(6))
    longer = admit(cursor, records(7))
    assert (list(longer.records), longer.refetch) == ([], True)
    filled = admit(cursor, records(6, 7))
    assert ([r.offset for r in filled.records], filled.holes) == ([6, 7], 1)


def test_a_gap_that_was_filled_at_the_second_look_loses_nothing() -> None:
    cursor = Cursor(epoch=1, next=5)
    admit(cursor, records(7))
    admitted = admit(cursor, records(5, 6, 7))
    assert ([r.offset for r in admitted.records], admitted.holes) == ([5, 6, 7], 0)


def test_a_gap_inside_a_batch_cuts_it_and_is_the_first_look() -> None:
    cursor = Cursor(epoch=1, next=5)
    admitted = admit(cursor, records(5, 6, 9))
    assert ([r.offset for r in admitted.records], admitted.refetch) == ([5, 6], True)
    cursor.next = 7
    again = admit(cursor, records(9, 10))
    assert ([r.offset for r in again.records], again.holes) == ([9, 10], 2)


def test_records_before_the_position_are_dropped() -> None:
    admitted = admit(Cursor(epoch=1, next=5), records(3, 4, 5))
    assert [r.offset for r in admitted.records] == [5]


def test_the_record_before_the_position_proves_that_the_log_is_the_same() -> None:
    cursor = Cursor(epoch=1, next=5, verify="e4")
    assert cursor.fetch_from == 4
    assert [r.offset for r in admit(cursor, records(4, 5)).records] == [5]
    assert cursor.fetch_from == 5


def test_another_record_before_the_position_stops_the_partition() -> None:
    with pytest.raises(PartitionStopped, match="truncated or recreated"):
        admit(Cursor(epoch=1, next=5, verify="e4"), [FakeRecord(4, headers=(("ce_id", b"other"),))])


def test_no_record_before_the_position_stops_the_partition_at_the_second_look() -> None:
    cursor = Cursor(epoch=1, next=5, verify="e4")
    first = admit(cursor, records(5))
    assert (list(first.records), first.refetch, cursor.fetch_from) == ([], True, 4)
    with pytest.raises(PartitionStopped, match="truncated or recreated"):
        admit(cursor, records(5))


def test_a_record_before_the_position_that_is_there_at_the_second_look_proves_the_log() -> None:
    cursor = Cursor(epoch=1, next=5, verify="e4")
    admit(cursor, records(6))
    assert [r.offset for r in admit(cursor, records(4, 5, 6)).records] == [5, 6]


def test_a_record_without_an_id_is_known_by_its_bytes() -> None:
    assert fingerprint(FakeRecord(1, b"a")) == fingerprint(FakeRecord(9, b"a")) != fingerprint(FakeRecord(1, b"b"))


def read(value: bytes, dataschema: str | None) -> object:
    if dataschema == "in.v9":
        raise UnknownVersion("in.v9 is newer than this build")
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise Poison(str(error)) from error


def test_bytes_that_cannot_be_read_become_poison_between_their_neighbours() -> None:
    batch = [*records(1), FakeRecord(2, b"{"), *records(3)]
    items, unknown = decode("in", batch, {"in": read})
    assert [type(item) for item in items] == [Message, Poisoned, Message]
    assert unknown is None


def test_a_newer_schema_version_ends_the_batch_before_it() -> None:
    newer = FakeRecord(2, headers=(("ce_dataschema", b"in.v9"),))
    items, unknown = decode("in", [*records(1), newer, *records(3)], {"in": read})
    assert len(items) == 1
    assert unknown == "in.v9 is newer than this build"


@pytest.mark.parametrize(
    "record",
    [
        FakeRecord(1, None),
        FakeRecord(1, headers=(("ce_id", b"\xff"),)),
        FakeRecord(1, headers=(("ce_bodyhash", b"not hex"),)),
    ],
)
def test_a_record_without_value_or_with_broken_headers_is_poison(record: FakeRecord) -> None:
    items, _ = decode("in", [record], {"in": read})
    assert isinstance(items[0], Poisoned)
    assert (items[0].source, items[0].event_id) == ("kafka:in", "in/0/1")


@pytest.mark.parametrize("value", [b'{"n": 1}', b"{", None])
def test_a_suspect_is_put_aside_whatever_is_in_it(value: bytes | None) -> None:
    headers = (("ce_id", b"e2"), ("ce_source", b"s"), ("ce_dataschema", b"in.v9"), ("ce_suspect", b"honeypot,origin"))
    items, unknown = decode("in", [*records(1), FakeRecord(2, value, headers), *records(3)], {"in": read})
    assert [type(item) for item in items] == [Message, Poisoned, Message]
    assert unknown is None
    assert isinstance(items[1], Poisoned)
    assert (items[1].source, items[1].event_id, items[1].reason) == ("s", "e2", "suspect: honeypot,origin")


def test_without_our_headers_the_place_in_the_log_is_the_identity() -> None:
    items, _ = decode("in", [FakeRecord(8)], {"in": read})
    assert isinstance(items[0], Message)
    assert items[0].event_id == "in/0/8"


def test_halves_of_a_chunk_join_to_the_whole() -> None:
    items, _ = decode("in", records(5, 6, 7), {"in": read})
    first, second = Chunk(("in", 0), 1, 4, items, holes=1).halves()
    assert (first.expected, first.holes, first.next) == (4, 1, 6)
    assert (second.expected, second.holes, second.next) == (6, 0, 8)
