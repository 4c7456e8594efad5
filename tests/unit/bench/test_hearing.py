from __future__ import annotations

import pytest

from bench.hearing import Heard
from bench.open_loop import ACCEPTED, Sent
from bench.records import Record

NUMBERS = {"a": 0, "b": 1, "c": 2}


def sent(due: float, status: int = ACCEPTED) -> Sent:
    return Sent(due, left=due + 0.5, answered=due + 0.6, status=status)


def arrival(moment: float, key: str) -> tuple[float, Record]:
    return moment, Record(key.encode(), b"")


def test_latency_counts_from_the_schedule_and_leaves_the_warm_up_out() -> None:
    heard = Heard([sent(1.0), sent(2.0), sent(3.0)], [arrival(9.0, "a"), arrival(3.25, "c"), arrival(2.5, "b")])
    assert heard.latencies(NUMBERS, warm_up=1) == pytest.approx([500, 250])
    assert heard.problems("records", NUMBERS) == []


def test_what_comes_twice_counts_from_its_first_arrival_and_is_a_problem() -> None:
    heard = Heard([sent(1.0)], [arrival(1.5, "a"), arrival(4.0, "a")])
    assert heard.latencies({"a": 0}, warm_up=0) == pytest.approx([500])
    assert heard.problems("records", {"a": 0}) == ["1 records came twice"]


def test_what_was_refused_missing_or_never_asked_for_is_a_problem() -> None:
    heard = Heard([sent(1.0), sent(1.0, status=503), sent(1.0)], [arrival(2.0, "a"), arrival(2.0, "x")])
    assert heard.problems("records", NUMBERS) == [
        "1 posts were answered 503",
        "2 records did not come",
        "1 records were never asked for",
    ]
