"""The items of one request: repeats, and the answer to each and to all."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.domain.acceptance import Why
from services.ingest.domain.batch import Repeat, Result, Status, Stored, overall, results, without_repeats
from tests.unit.ingest.given import an_event, judge

STORED = dict.fromkeys(range(10), Stored.LOG)


def statuses(sent: list[Any], stored: dict[int, Stored] | None = None) -> list[str]:
    verdicts = without_repeats([judge(item) for item in sent])
    return [str(result.status) for result in results(verdicts, STORED if stored is None else stored)]


def test_every_good_item_is_accepted() -> None:
    assert statuses([an_event(event_id="1"), an_event(event_id="2")]) == ["accepted", "accepted"]


def test_the_same_item_again_is_a_duplicate() -> None:
    event = an_event(event_id="1")
    assert statuses([event, event, dict(reversed(event.items()))]) == ["accepted", "duplicate", "duplicate"]


def test_an_id_with_another_body_is_invalid_and_later_repeats_are_measured_by_the_first() -> None:
    first, other = an_event(event_id="1"), an_event(event_id="1", type="page.viewed")
    assert statuses([first, other, first, other]) == ["accepted", "invalid", "duplicate", "invalid"]


def test_a_refused_item_does_not_use_up_its_id() -> None:
    assert statuses([{"event_id": "1"}, an_event(event_id="1")]) == ["invalid", "accepted"]


def test_bad_items_leave_their_neighbours_alone() -> None:
    sent = [an_event(event_id="1"), b"not json", {"type": "\ud800"}, an_event(event_id="2")]
    assert statuses(sent) == ["accepted", "invalid", "invalid", "accepted"]


def test_a_repeat_shares_the_fate_of_the_first() -> None:
    event = an_event(event_id="1")
    assert statuses([event, event], {0: Stored.UNKNOWN}) == ["retry", "retry"]
    assert statuses([event, event], {0: Stored.TOO_LARGE}) == ["invalid", "invalid"]


def test_one_item_too_large_for_the_log_leaves_its_neighbours_alone() -> None:
    sent = [an_event(event_id="1"), an_event(event_id="2"), an_event(event_id="3")]
    fates = {0: Stored.LOG, 1: Stored.TOO_LARGE, 2: Stored.UNKNOWN}
    assert statuses(sent, fates) == ["accepted", "invalid", "retry"]


def test_only_what_must_be_published_remains() -> None:
    event = an_event(event_id="1")
    verdicts = without_repeats([judge(event), judge(event), judge({})])
    assert [type(verdict).__name__ for verdict in verdicts] == ["Accepted", "Repeat", "Refused"]
    assert verdicts[1] == Repeat("1", 0)


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ([Status.ACCEPTED], Status.ACCEPTED),
        ([Status.INVALID, Status.ACCEPTED, Status.RETRY], Status.ACCEPTED),
        ([Status.RETRY, Status.RETRY], Status.RETRY),
        ([Status.RETRY, Status.INVALID], Status.RETRY),
        ([Status.INVALID, Status.INVALID], Status.INVALID),
    ],
)
def test_the_request_as_a_whole(given: list[Status], whole: Status) -> None:
    assert overall([Result("1", status) for status in given]) is whole


def test_a_detail_says_what_to_do() -> None:
    invalid = results([judge({"event_id": "1"})], {})[0]
    assert invalid.why is Why.UNFIT
    assert invalid.detail is not None
    assert "/type is required" in invalid.detail
    assert Result("1", Status.ACCEPTED).detail is None
    assert "same event_id" in (Result("1", Status.RETRY).detail or "")
