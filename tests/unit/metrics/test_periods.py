"""Periods and the figures in them."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metrics.domain.periods import By, Period, count_of, periods, start_of
from services.metrics.domain.report import TallyRow, figures_of, series
from services.metrics.domain.tallies import Kpi

days = st.dates(date(2017, 1, 1), date(2019, 12, 31))
rows = st.lists(
    st.builds(
        TallyRow,
        day=days,
        kpi=st.sampled_from([*Kpi]),
        origin=st.none(),
        currency=st.sampled_from(["JPY", "EUR"]),
        count=st.integers(0, 9),
        amount=st.decimals(0, 9, places=2),
    ),
    max_size=20,
)


@given(first=days, length=st.integers(0, 900), by=st.sampled_from(By))
def test_periods_cover_every_day_once_and_in_order(first: date, length: int, by: By) -> None:
    last = first + timedelta(days=length)
    covered = [p.start + timedelta(days=n) for p in periods(first, last, by) for n in range((p.end - p.start).days + 1)]
    assert covered == [first + timedelta(days=n) for n in range(length + 1)]


@given(first=days, length=st.integers(0, 900), by=st.sampled_from(By))
def test_a_period_never_crosses_a_border_of_the_calendar(first: date, length: int, by: By) -> None:
    for period in periods(first, first + timedelta(days=length), by):
        assert start_of(period.start, by) == start_of(period.end, by)


@given(first=days, length=st.integers(0, 900), by=st.sampled_from(By))
def test_the_number_of_periods_is_known_without_making_them(first: date, length: int, by: By) -> None:
    last = first + timedelta(days=length)
    assert count_of(first, last, by) == len(list(periods(first, last, by)))


@pytest.mark.parametrize(
    ("day", "by", "start"),
    [
        (date(2026, 11, 22), By.WEEK, date(2026, 11, 16)),
        (date(2026, 11, 16), By.WEEK, date(2026, 11, 16)),
        (date(2027, 1, 2), By.WEEK, date(2026, 12, 28)),
        (date(2024, 2, 29), By.MONTH, date(2024, 2, 1)),
        (date(2026, 12, 31), By.QUARTER, date(2026, 10, 1)),
        (date(2026, 4, 1), By.QUARTER, date(2026, 4, 1)),
    ],
)
def test_a_period_begins_where_calendars_say(day: date, by: By, start: date) -> None:
    assert start_of(day, by) == start


@pytest.mark.parametrize("by", [*By])
def test_the_ends_of_the_calendar_are_no_trouble(by: By) -> None:
    assert list(periods(date.max, date.max, by)) == [Period(date.max, date.max)]
    assert next(periods(date.min, date.min, by)) == Period(date.min, date.min)


@given(rows=rows, by=st.sampled_from(By))
def test_the_periods_add_up_to_the_total(rows: list[TallyRow], by: By) -> None:
    whole = figures_of(rows)
    parts = [one.figures for one in series(rows, date(2017, 1, 1), date(2019, 12, 31), by)]
    for kpi in Kpi:
        assert sum(part.count(kpi) for part in parts) == whole.count(kpi)
    for currency, amount in whole.revenue.items():
        assert sum((part.revenue.get(currency, Decimal(0)) for part in parts), Decimal(0)) == amount


def test_empty_periods_are_told_as_zeros() -> None:
    told = series([], date(2026, 1, 1), date(2026, 3, 31), By.MONTH)
    assert [one.figures.count(Kpi.LEADS) for one in told] == [0, 0, 0]


def test_origins_stand_apart_when_asked_for() -> None:
    def row(origin: str, count: int) -> TallyRow:
        return TallyRow(date(2026, 1, 5), Kpi.LEADS, origin, "", count, Decimal(0))

    told = series([row("google", 2), row("", 1)], date(2026, 1, 1), date(2026, 1, 31), By.MONTH)
    assert [(one.origin, one.figures.count(Kpi.LEADS)) for one in told] == [("", 1), ("google", 2)]


def test_the_win_ratio_is_won_of_decided_and_unknown_while_nothing_is_decided() -> None:
    def row(kpi: Kpi, count: int) -> TallyRow:
        return TallyRow(date(2026, 1, 5), kpi, None, "", count, Decimal(0))

    assert figures_of([row(Kpi.ORDERS_WON, 3), row(Kpi.LOST, 1)]).win_ratio == 0.75
    assert figures_of([row(Kpi.LOST, 2)]).win_ratio == 0.0
    assert figures_of([row(Kpi.OPPORTUNITIES, 2)]).win_ratio is None
