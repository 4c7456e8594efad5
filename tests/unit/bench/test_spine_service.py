from __future__ import annotations

from datetime import UTC, datetime

from bench.records import Record
from bench.spine_service import CountingHandler, Event, Result
from funnel.spine import Message

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


class Read(Record):
    """A record as the product's client gives it."""

    topic = "in"
    timestamp = 0


def happened(person: str, n: int) -> Message[Event]:
    return Message("bench", f"{person}-{n}", "", "in", Event(person, n), b"", Read(b"", b""))


def test_one_result_per_person_says_what_the_batch_led_to() -> None:
    state = {"ann": Result("ann", 1, 1, 0), "bob": Result("bob", 0, 0, 0)}
    decision = CountingHandler().decide(state, [happened("ann", 2), happened("bob", 1), happened("ann", 3)], NOW)
    assert decision.people == [Result("ann", 3, 3, 0), Result("bob", 1, 1, 0)]
    assert [one.ce_id for one in decision.outgoing] == ["ann:3", "bob:1"]


def test_an_event_that_is_not_the_next_is_noticed() -> None:
    state = {"ann": Result("ann", 1, 1, 0)}
    assert CountingHandler().decide(state, [happened("ann", 3)], NOW).people == [Result("ann", 2, 3, 1)]
    assert CountingHandler().decide(state, [happened("ann", 1)], NOW).people == [Result("ann", 2, 1, 1)]
