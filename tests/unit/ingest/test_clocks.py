"""When something happened by our clock, though its sender's may be wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.envelope import format_time
from services.ingest.domain import limits
from services.ingest.domain.acceptance import Acceptance, Accepted
from services.ingest.domain.kinds import EVENT, OUTCOME, Kind
from services.ingest.domain.receipt import Mode, Receipt
from services.ingest.domain.times import by_our_clock, written
from tests.unit.ingest.given import FRESH_ID, NOW, SECRET, an_event, an_outcome, stored

moments = st.datetimes(
    datetime.fromisoformat("1970-01-01"), datetime.fromisoformat("9999-12-31"), timezones=st.just(UTC)
)


def times_of(
    sent: dict[str, Any], kind: Kind = EVENT, *, sent_at: datetime | None = None, mode: Mode = "live"
) -> dict[str, str]:
    """The times in the record of an event received at NOW, in a request sent at `sent_at`; seconds without fraction."""
    raw = json.dumps(sent).encode()
    verdict = Acceptance(kind, Receipt("default", mode, NOW, sent_at), SECRET).judge(raw, FRESH_ID)
    assert isinstance(verdict, Accepted), verdict
    value = json.loads(verdict.value)
    assert dict(verdict.headers)["ce_time"].decode() == value["occurred_at"]
    names = ("occurred_at", "occurred_at_sent", "sent_at")
    return {name: value[name].replace(".000000Z", "Z") for name in names if name in value}


def at(clock: str) -> str:
    return f"2026-11-22T{clock}Z"


def test_a_clock_that_is_an_hour_slow_is_corrected_and_its_claim_kept() -> None:
    """It happened ten minutes before it was sent, so ten minutes before it was received."""
    assert times_of(an_event(occurred_at=at("07:50:00"), sent_at=at("08:00:00"))) == {
        "occurred_at": at("08:50:00"),
        "occurred_at_sent": at("07:50:00"),
        "sent_at": at("08:00:00"),
    }


def test_a_clock_that_is_fast_is_corrected_too() -> None:
    event = an_event(occurred_at="2027-11-22T08:50:00Z", sent_at="2027-11-22T09:00:00Z")
    assert times_of(event)["occurred_at"] == at("08:50:00")


def test_a_clock_that_is_right_changes_nothing() -> None:
    times = times_of(an_event(occurred_at=at("08:00:00"), sent_at=at("09:00:00")))
    assert times == {"occurred_at": at("08:00:00"), "sent_at": at("09:00:00")}


def test_what_happened_after_it_was_sent_happened_when_it_was_received() -> None:
    times = times_of(an_event(occurred_at=at("08:00:01"), sent_at=at("08:00:00")))
    assert times["occurred_at"] == at("09:00:00")
    assert times["occurred_at_sent"] == at("08:00:01")


def test_the_request_can_say_for_all_its_events_when_it_was_sent() -> None:
    sent_at = datetime(2026, 11, 22, 8, tzinfo=UTC)
    assert times_of(an_event(occurred_at=at("07:50:00")), sent_at=sent_at)["occurred_at"] == at("08:50:00")


def test_what_an_event_says_itself_goes_before_what_its_request_says() -> None:
    sent_at = datetime(2026, 11, 22, 8, tzinfo=UTC)
    event = an_event(occurred_at=at("07:50:00"), sent_at=at("07:55:00"))
    assert times_of(event, sent_at=sent_at) == {
        "occurred_at": at("08:55:00"),
        "occurred_at_sent": at("07:50:00"),
        "sent_at": at("07:55:00"),
    }


def test_without_a_claim_there_is_nothing_to_correct() -> None:
    times = times_of(an_event(sent_at=at("08:00:00")))
    assert times == {"occurred_at": at("09:00:00"), "sent_at": at("08:00:00")}


def test_history_is_told_by_those_who_looked_it_up() -> None:
    """Its times come from a file, not from the clock of a device."""
    event = an_event(occurred_at="2025-01-01T00:00:00Z", sent_at=at("08:00:00"))
    assert times_of(event, mode="history") == {"occurred_at": "2025-01-01T00:00:00Z", "sent_at": at("08:00:00")}
    late = an_event(occurred_at="2030-01-01T00:00:00Z", sent_at=at("08:00:00"))
    assert times_of(late, mode="history")["occurred_at"] == at("09:00:00")


def test_outcomes_are_not_corrected() -> None:
    outcome = an_outcome(occurred_at=at("07:50:00"), sent_at="whatever")
    times = times_of(outcome, OUTCOME, sent_at=datetime(2026, 11, 22, 8, tzinfo=UTC))
    assert times == {"occurred_at": at("07:50:00"), "sent_at": "whatever"}


@pytest.mark.parametrize("sent_at", ["9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2026-11-22T18:00:00+09:00"])
def test_no_clock_is_too_wrong(sent_at: str) -> None:
    assert stored(an_event(occurred_at="1970-01-01T00:00:00Z", sent_at=sent_at))


@given(moments, st.none() | moments, moments)
def test_whatever_clocks_say_it_was_before_the_receipt_and_not_absurdly_so(
    claimed: datetime, sent_at: datetime | None, received_at: datetime
) -> None:
    happened = by_our_clock(claimed, sent_at, received_at)
    assert limits.EARLIEST <= happened <= received_at
    if sent_at is not None and claimed <= sent_at and happened > limits.EARLIEST:
        assert received_at - happened == sent_at - claimed


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    st.datetimes(
        datetime.fromisoformat("1970-01-02"), datetime.fromisoformat("9999-12-30"), timezones=zones | st.just(UTC)
    )
)
def test_times_are_written_as_everywhere_else(moment: datetime) -> None:
    assert written(moment).decode() == format_time(moment)
