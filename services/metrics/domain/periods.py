"""Calendar periods: the long view of marketing and the month and quarter of sales, cut from the same days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

MAX_PERIODS = 4_000
"""Most periods in one answer: ten years of days."""


class By(StrEnum):
    """Length of a period. Weeks begin on Monday (ISO 8601); quarters are those of the calendar year."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `start` to `end`, both included."""

    start: date
    end: date


def start_of(day: date, by: By) -> date:
    """The first day of the period that holds `day`."""
    if by is By.DAY:
        return day
    if by is By.WEEK:
        return date.fromordinal(max(1, day.toordinal() - day.weekday()))
    month = day.month if by is By.MONTH else day.month - (day.month - 1) % 3
    return day.replace(month=month, day=1)


def count_of(first: date, last: date, by: By) -> int:
    """How many periods cover the range, without making them."""
    if by in (By.DAY, By.WEEK):
        days = start_of(last, by) - start_of(first, by)
        return -(-days.days // (1 if by is By.DAY else 7)) + 1
    months = (last.year - first.year) * 12 + start_of(last, by).month - start_of(first, by).month
    return months // (1 if by is By.MONTH else 3) + 1


def periods(first: date, last: date, by: By) -> Iterator[Period]:
    """The periods that cover `first` to `last`; the outer two are cut to that range."""
    start = first
    while start <= last:
        end = min(last, _end_of(start, by))
        yield Period(start, end)
        if end == date.max:
            return
        start = end + timedelta(days=1)


def _end_of(day: date, by: By) -> date:
    start = start_of(day, by)
    if by is By.DAY:
        return start
    if by is By.WEEK:
        return date.fromordinal(min(date.max.toordinal(), start.toordinal() + 6))
    months = start.year * 12 + start.month - 1 + (1 if by is By.MONTH else 3)
    if months // 12 > date.max.year:
        return date.max
    return date(months // 12, months % 12 + 1, 1) - timedelta(days=1)
