"""What the consumer loop makes of gaps and bugs, with a client and a transaction that do what a test lets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from funnel.clock import SystemClock
from funnel.kafka.consumer import Partition
from funnel.spine import loop as module
from funnel.spine.chunks import Chunk, Cursor
from funnel.spine.loop import ConsumerLoop
from funnel.spine.transaction import Result
from tests.support.toy import Toy
from tests.unit.spine.test_chunks import FakeRecord

PLACE = ("in", 0)


class Client:
    """Stands in for `funnel.kafka.consumer.Consumer`: a log from `begin` on, and the offset it would give next."""

    def __init__(self, begin: int = 0, ahead_at: int = 0) -> None:
        self.begin = begin
        self.ahead_at = ahead_at
        self.sent_back: list[int] = []

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, tuple[int, int]]:
        return dict.fromkeys(partitions, (self.begin, 1000))

    async def position(self, _: Partition) -> int:
        return self.ahead_at

    def seek(self, _: Partition, offset: int) -> None:
        self.sent_back.append(offset)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[Chunk]:
    """Everything that was given to the transaction; all of it is kept."""
    found: list[Chunk] = []

    async def apply(_: Any, __: Any, chunks: Sequence[Chunk], *___: Any, **____: Any) -> Result:
        found.extend(chunks)
        return Result(frozenset(chunk.partition for chunk in chunks), frozenset(), 0)

    monkeypatch.setattr(module, "apply", apply)
    return found


def loop_at(offset: int, *places: Partition) -> ConsumerLoop:
    """A loop that has one partition, or `places`, and stands before `offset`."""
    keeper: Any = SimpleNamespace(watch=lambda _: None, wake=lambda: None)
    nothing: Any = None
    made = ConsumerLoop(
        Toy(), nothing, keeper, lambda: nothing, SystemClock(), lambda: None, relay_is_here=lambda: True
    )
    made.cursors |= {place: Cursor(epoch=1, next=offset) for place in places or (PLACE,)}
    return made


def fetched(*offsets: int, places: Sequence[Partition] = (PLACE,)) -> dict[Partition, list[FakeRecord]]:
    headers = (("ce_source", b"s"),)
    value = b'{"person": "ann", "number": 1}'
    records = [FakeRecord(n, value, (*headers, ("ce_id", b"e%d" % n))) for n in offsets]
    return dict.fromkeys(places, records)


async def test_a_gap_seen_twice_inside_the_log_holds_no_records(applied: list[Chunk]) -> None:
    client: Any = Client(begin=5)
    loop = loop_at(5)
    await loop._apply_fetched(client, fetched(8, 9))
    assert (applied, client.sent_back) == ([], [5])
    await loop._apply_fetched(client, fetched(8, 9))
    assert [(chunk.expected, chunk.next, chunk.holes) for chunk in applied] == [(5, 10, 3)]


async def test_a_gap_below_the_start_of_the_log_stops_the_partition(applied: list[Chunk]) -> None:
    """The client may have jumped over what retention removed while it was reading."""
    client: Any = Client(begin=8)
    loop = loop_at(5)
    for _ in range(2):
        await loop._apply_fetched(client, fetched(8, 9))
    assert applied == []
    assert "retention removed records" in loop.problems()["in/0"]


async def test_a_client_that_is_ahead_of_its_records_is_sent_back_once(applied: list[Chunk]) -> None:
    client: Any = Client(ahead_at=7)
    loop = loop_at(5)
    await loop._pass_holes(client)
    assert (applied, client.sent_back) == ([], [5])
    await loop._pass_holes(client)
    assert [(chunk.expected, chunk.next, chunk.holes) for chunk in applied] == [(5, 7, 2)]


async def test_a_client_that_is_further_ahead_at_the_second_look_is_believed_as_far_as_at_the_first(
    applied: list[Chunk],
) -> None:
    client: Any = Client(ahead_at=7)
    loop = loop_at(5)
    await loop._pass_holes(client)
    client.ahead_at = 9
    await loop._pass_holes(client)
    await loop._pass_holes(client)
    assert [(chunk.expected, chunk.next) for chunk in applied] == [(5, 7), (7, 9)]
    assert client.sent_back == [5, 7]


async def test_a_bug_stops_its_partition_and_not_those_read_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[Partition] = []

    async def apply(_: Any, __: Any, chunks: Sequence[Chunk], *___: Any, **____: Any) -> Result:
        found = [chunk.partition for chunk in chunks]
        if ("in", 1) in found:
            raise ZeroDivisionError
        applied.extend(found)
        return Result(frozenset(found), frozenset(), 0)

    monkeypatch.setattr(module, "apply", apply)
    places = [("in", 0), ("in", 1), ("in", 2)]
    loop = loop_at(5, *places)
    client: Any = Client()
    await loop._apply_fetched(client, fetched(5, 6, places=places))
    assert applied == [("in", 0), ("in", 2)]
    assert {name: "ZeroDivisionError" in why for name, why in loop.problems().items() if name != "kafka"} == {
        "in/1": True
    }
    assert [loop.cursors[place].next for place in places] == [7, 5, 7]
