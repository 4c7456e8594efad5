"""HTTP of the metrics service: the KPIs, the ledger, the console page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from funnel.audit import book
from funnel.clock import Clock
from funnel.errors import Conflict, DatabaseAway
from funnel.http import HttpProblem
from funnel.kafka.consumer import KafkaAway
from funnel.postgres import Database
from services.metrics import console, store
from services.metrics.books import Books
from services.metrics.domain.periods import MAX_PERIODS, By, count_of, start_of
from services.metrics.domain.report import Figures, PeriodFigures, figures_of, series
from services.metrics.domain.tallies import Kpi

RETRY_SECONDS = 2


class Dimension(StrEnum):
    """What to split the numbers by."""

    ORIGIN = "origin"


class Kpis(BaseModel):
    """The KPIs of some days. Counts are gross; revenue is net of cancelled orders, per currency, as decimal text."""

    events: int
    visits: int
    document_requests: int
    leads: int
    appointments: int
    opportunities: int
    orders_won: int
    orders_cancelled: int
    lost: int
    win_ratio: float | None = Field(description="orders_won / (orders_won + lost); null while none is decided.")
    revenue: dict[str, str] = Field(examples=[{"JPY": "1200000"}])

    @classmethod
    def of(cls, figures: Figures) -> Self:
        counts = {kpi.value: figures.count(kpi) for kpi in Kpi if kpi is not Kpi.REVENUE}
        revenue = {currency: _plain(amount) for currency, amount in figures.revenue.items()}
        return cls(**counts, win_ratio=figures.win_ratio, revenue=revenue)


class PeriodKpis(Kpis):
    """The KPIs of one period, both days included; of one origin where the answer is split by it."""

    start: date
    end: date
    origin: str | None = Field(default=None, description="Empty text: the origin is not known.")

    @classmethod
    def of_period(cls, one: PeriodFigures) -> Self:
        kpis = Kpis.of(one.figures).model_dump()
        return cls(**kpis, start=one.period.start, end=one.period.end, origin=one.origin)


class KpiAnswer(BaseModel):
    """KPIs per period and for the whole range. Days are local dates of `timezone`, of when things happened."""

    first: date = Field(serialization_alias="from")
    last: date = Field(serialization_alias="to")
    by: By
    timezone: str
    total: Kpis
    periods: list[PeriodKpis]


def routes(database: Database, books: Books, clock: Clock, zone: ZoneInfo) -> APIRouter:
    """The endpoints, over these sources."""
    router = APIRouter()

    def today() -> date:
        return clock.now().astimezone(zone).date()

    @router.get("/v1/kpis", tags=["kpis"], summary="The numbers of marketing and sales, per period.")
    async def kpis(
        first: Annotated[date | None, Query(alias="from", description="First day; default: the first counted.")] = None,
        last: Annotated[date | None, Query(alias="to", description="Last day, included; default: today.")] = None,
        by: By = By.MONTH,
        dimension: Annotated[Dimension | None, Query(description="Split each period by this.")] = None,
    ) -> KpiAnswer:
        async with _sources(), database.transaction() as tx:
            known = await store.counted_days(tx)
            last = last or max(today(), known[1] if known else today(), first or date.min)
            first = first or min(last, known[0] if known else last)
            _check_range(first, last, by)
            rows = await store.tallies(tx, first, last, by_origin=dimension is Dimension.ORIGIN)
        return KpiAnswer(
            first=first,
            last=last,
            by=by,
            timezone=zone.key,
            total=Kpis.of(figures_of(rows)),
            periods=[PeriodKpis.of_period(one) for one in series(rows, first, last, by)],
        )

    @router.get("/v1/ledger", tags=["ledger"], summary="Where every record and every lead is.")
    async def ledger() -> dict[str, Any]:
        async with _sources():
            return (await books.ledger()).as_json()

    @router.get("/", tags=["console"], summary="The same numbers as a page.", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        now: datetime = clock.now().astimezone(zone)
        month = start_of(now.date(), By.MONTH)
        async with _sources():
            account, lags = await books.ledger_and_lags()
            async with database.transaction() as tx:
                all_time = await store.totals(tx)
                findings = await book.open_by_kind(tx)
                this_month = figures_of(await store.tallies(tx, month, now.date(), by_origin=False))
        return HTMLResponse(console.render(all_time, this_month, account, findings, lags, now, zone.key))

    return router


def _check_range(first: date, last: date, by: By) -> None:
    if first > last:
        raise _refused("from", "empty-range", "Empty range", f"`from` is {first}, after `to`, which is {last}.")
    if (wanted := count_of(first, last, by)) > MAX_PERIODS:
        detail = f"{wanted} periods are more than {MAX_PERIODS}: ask for a shorter range or longer periods."
        raise _refused("by", "too-many-periods", "Too many periods", detail)


def _refused(parameter: str, slug: str, title: str, detail: str) -> HttpProblem:
    return HttpProblem(422, slug, title, detail, errors=[{"parameter": parameter, "detail": detail}])


@asynccontextmanager
async def _sources() -> AsyncIterator[None]:
    """Postgres or Kafka being away is a 503 that says which."""
    try:
        yield
    except (DatabaseAway, Conflict, KafkaAway) as error:
        raise HttpProblem(
            503, "source-away", "Not answerable now", str(error), headers={"Retry-After": str(RETRY_SECONDS)}
        ) from error


def _plain(amount: Decimal) -> str:
    """Decimal text without an exponent."""
    return f"{amount:f}"
