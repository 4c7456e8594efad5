"""What a client may conclude from an answer, and what it must not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chaos.answers import FINAL, UNKNOWN, Told, told


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_202_vouches_for_the_one_event_it_names() -> None:
    assert told(1, 202, body({"event_id": "a", "status": "accepted"})) == [Told("accepted", "a")]


@pytest.mark.parametrize("content", [b"", b"<html>", body([]), body({"status": "stored"}), body({"results": [7]})])
def test_a_202_that_says_nothing_sensible_leaves_it_unknown(content: bytes) -> None:
    assert told(1, 202, content) == [UNKNOWN]


def test_a_202_without_results_says_nothing_about_a_batch() -> None:
    assert told(2, 202, body({"event_id": "a", "status": "accepted"})) == [UNKNOWN, UNKNOWN]


def test_the_items_of_a_batch_are_told_by_their_index() -> None:
    results = [
        {"index": 2, "event_id": "c", "status": "retry"},
        {"index": 0, "event_id": "a", "status": "accepted"},
    ]
    assert told(3, 202, body({"results": results})) == [Told("accepted", "a"), UNKNOWN, Told("retry", "c")]


@pytest.mark.parametrize("status", [503, 422])
def test_results_count_whatever_the_status_says(status: int) -> None:
    results = [{"index": 0, "event_id": "a", "status": "retry"}, {"index": 1, "event_id": None, "status": "invalid"}]
    assert [one.result for one in told(2, status, body({"results": results}))] == ["retry", "invalid"]


@pytest.mark.parametrize("status", [400, 401, 403, 413, 415, 422])
def test_a_refusal_is_final(status: int) -> None:
    assert told(2, status, b"{}") == [Told("invalid")] * 2


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_what_may_change_is_sent_again(status: int) -> None:
    (word,) = told(1, status, body({"type": "urn:funnel:problem:not-stored"}))
    assert word.result not in FINAL
