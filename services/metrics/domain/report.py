"""The numbers of `/v1/kpis`: tallies put into periods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from services.metrics.domain.periods import By, Period, periods
from services.metrics.domain.tallies import Kpi


@dataclass(frozen=True, slots=True)
class TallyRow:
    """One row of the tally, or several summed; `origin` is None where origins were added up."""

    day: date
    kpi: str
    origin: str | None
    currency: str
    count: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Figures:
    """The KPIs of one period, or of all time. Revenue is per currency; currencies are never added up."""

    counts: Mapping[str, int] = field(default_factory=dict)
    revenue: Mapping[str, Decimal] = field(default_factory=dict)

    def count(self, kpi: Kpi) -> int:
        return self.counts.get(kpi, 0)

    @property
    def win_ratio(self) -> float | None:
        """Orders won of all deals that were decided; None while none was."""
        won, lost = self.count(Kpi.ORDERS_WON), self.count(Kpi.LOST)
        return won / (won + lost) if won + lost else None


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """The KPIs of one period and, where asked for, of one origin in it."""

    period: Period
    origin: str | None
    figures: Figures


def figures_of(rows: Iterable[TallyRow]) -> Figures:
    """Rows of any days added up."""
    counts: defaultdict[str, int] = defaultdict(int)
    revenue: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.kpi == Kpi.REVENUE:
            revenue[row.currency] += row.amount
        else:
            counts[row.kpi] += row.count
    return Figures(dict(counts), dict(sorted(revenue.items())))


def series(rows: Sequence[TallyRow], first: date, last: date, by: By) -> list[PeriodFigures]:
    """One entry per period, empty ones included; with origins, one per period and origin that has any number."""
    split = any(row.origin is not None for row in rows)
    answer: list[PeriodFigures] = []
    grouped = _by_period(rows, first, last, by)
    for period, inside in grouped:
        if not split:
            answer.append(PeriodFigures(period, None, figures_of(inside)))
            continue
        for origin in sorted({row.origin or "" for row in inside}):
            mine = [row for row in inside if row.origin == origin]
            answer.append(PeriodFigures(period, origin, figures_of(mine)))
    return answer


def _by_period(rows: Iterable[TallyRow], first: date, last: date, by: By) -> list[tuple[Period, list[TallyRow]]]:
    """Rows under the period that holds their day, in order of time."""
    cut = [(period, list[TallyRow]()) for period in periods(first, last, by)]
    position = 0
    for row in sorted(rows, key=lambda one: one.day):
        if not first <= row.day <= last:
            continue
        while cut[position][0].end < row.day:
            position += 1
        cut[position][1].append(row)
    return cut
