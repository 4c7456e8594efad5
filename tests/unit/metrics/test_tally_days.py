"""On which day, under which KPI and origin a thing is counted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.errors import Poison
from services.metrics.domain.tallies import Increment, Kpi, TallyKey, count_event, local_day, origin_of, summed
from tests.unit.metrics.records import NOON, event

TOKYO = ZoneInfo("Asia/Tokyo")
LISBON = ZoneInfo("Europe/Lisbon")
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("at", "zone", "day"),
    [
        ("2026-01-31T14:59:59.999999+00:00", TOKYO, date(2026, 1, 31)),
        ("2026-01-31T15:00:00+00:00", TOKYO, date(2026, 2, 1)),
        ("2026-02-01T00:00:00+09:00", TOKYO, date(2026, 2, 1)),
        # Summer time begins in New York on 2026-03-08 and ends on 2026-11-01.
        ("2026-03-08T04:59:59+00:00", NEW_YORK, date(2026, 3, 7)),
        ("2026-03-08T05:00:00+00:00", NEW_YORK, date(2026, 3, 8)),
        ("2026-03-09T03:59:59+00:00", NEW_YORK, date(2026, 3, 8)),
        ("2026-03-09T04:00:00+00:00", NEW_YORK, date(2026, 3, 9)),
        ("2026-11-02T04:59:59+00:00", NEW_YORK, date(2026, 11, 1)),
        ("2026-11-02T05:00:00+00:00", NEW_YORK, date(2026, 11, 2)),
        # Lisbon: the hour from 01:00 happens twice on 2026-10-25, both times on the same day.
        ("2026-10-25T00:30:00+00:00", LISBON, date(2026, 10, 25)),
        ("2026-10-25T01:30:00+00:00", LISBON, date(2026, 10, 25)),
        ("2026-10-24T22:59:59+00:00", LISBON, date(2026, 10, 24)),
        ("2026-10-24T23:00:00+00:00", LISBON, date(2026, 10, 25)),
    ],
)
def test_a_day_is_the_local_date_of_the_moment(at: str, zone: ZoneInfo, day: date) -> None:
    assert local_day(datetime.fromisoformat(at), zone) == day


@given(
    seconds=st.integers(0, 4_000_000_000),
    hours=st.integers(-12, 14),
)
def test_the_offset_a_time_is_written_with_does_not_change_its_day(seconds: int, hours: int) -> None:
    at = datetime.fromtimestamp(seconds, UTC)
    assert local_day(at.astimezone(timezone(timedelta(hours=hours))), NEW_YORK) == local_day(at, NEW_YORK)


@pytest.mark.parametrize(
    ("at", "zone"),
    [
        (NOON.replace(tzinfo=None), TOKYO),
        (datetime.min.replace(tzinfo=UTC), NEW_YORK),
        (datetime.max.replace(tzinfo=UTC), TOKYO),
    ],
)
def test_a_time_without_a_day_is_poison(at: datetime, zone: ZoneInfo) -> None:
    with pytest.raises(Poison):
        local_day(at, zone)


@pytest.mark.parametrize(
    ("type_", "kpis"),
    [
        ("page.viewed", {Kpi.EVENTS, Kpi.VISITS}),
        ("document.requested", {Kpi.EVENTS, Kpi.DOCUMENT_REQUESTS}),
        ("form.submitted", {Kpi.EVENTS}),
        ("anything.else", {Kpi.EVENTS}),
    ],
)
def test_an_event_is_counted_under_its_kpi_and_as_an_event(type_: str, kpis: set[Kpi]) -> None:
    assert {one.key.kpi for one in count_event(event(type_), TOKYO)} == kpis


def test_the_origin_is_the_utm_source_then_the_declared_one_then_the_sender() -> None:
    assert origin_of(event(utm_source="google", properties={"origin": "fair"})) == "google"
    assert origin_of(event(utm_source="", properties={"origin": "fair"})) == "fair"
    assert origin_of(event(properties={"origin": 5})) == "web"
    assert origin_of(event()) == "web"


def test_a_very_long_origin_is_cut() -> None:
    assert len(origin_of(event(utm_source="x" * 5000))) == 200


keys = st.builds(
    TallyKey,
    st.dates(date(2026, 1, 1), date(2026, 1, 3)),
    st.sampled_from([Kpi.VISITS, Kpi.REVENUE]),
    st.sampled_from(["", "web"]),
    st.sampled_from(["", "JPY"]),
)
increments = st.lists(st.builds(Increment, keys, st.integers(-2, 2), st.decimals(-5, 5, places=2)))


@given(increments=increments)
def test_summing_keeps_the_totals_and_orders_the_rows(increments: list[Increment]) -> None:
    rows = summed(increments)
    assert [row.key for row in rows] == sorted({row.key for row in rows})
    assert sum(row.count for row in rows) == sum(one.count for one in increments)
    assert sum((row.amount for row in rows), Decimal(0)) == sum((one.amount for one in increments), Decimal(0))


def test_a_change_that_cancels_out_touches_no_row() -> None:
    key = TallyKey(NOON.date(), Kpi.VISITS, "web", "")
    assert summed([Increment(key, 1), Increment(key, -1)]) == []
