"""KPI tallies: counts and amounts per day, KPI, origin and currency.

A day is the local date, in the organisation's time zone, of the moment a thing happened (`occurred_at`), not of the
moment it was reported: an import of last year's deals counts last year.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from funnel.contracts import LeadEvent
from funnel.errors import Poison

UNKNOWN_ORIGIN = ""
"""Origin of what belongs to a lead whose own origin is not known (yet)."""

MAX_ORIGIN_CHARS = 200
"""Origins come from utm parameters, so from outside; longer ones are cut to keep the tally's index small."""


class Kpi(StrEnum):
    """What both departments count. Counts are gross; `revenue` alone goes down when an order is cancelled."""

    EVENTS = "events"
    VISITS = "visits"
    DOCUMENT_REQUESTS = "document_requests"
    LEADS = "leads"
    APPOINTMENTS = "appointments"
    OPPORTUNITIES = "opportunities"
    ORDERS_WON = "orders_won"
    ORDERS_CANCELLED = "orders_cancelled"
    LOST = "lost"
    REVENUE = "revenue"


KPI_OF_EVENT = {"page.viewed": Kpi.VISITS, "document.requested": Kpi.DOCUMENT_REQUESTS}


class TallyKey(NamedTuple):
    """Which row of the tally. Rows are written in the order of their keys, so two writers cannot deadlock."""

    day: date
    kpi: Kpi
    origin: str
    currency: str


@dataclass(frozen=True, slots=True)
class Increment:
    """What one record adds to one row of the tally; negative when a correction takes away."""

    key: TallyKey
    count: int = 1
    amount: Decimal = Decimal(0)


def local_day(at: datetime, zone: tzinfo) -> date:
    """The calendar date of `at` in `zone`. Raises Poison when there is none (no zone given, or year 0)."""
    if at.tzinfo is None:
        raise Poison("A time has no zone, so its day cannot be told.")
    try:
        return at.astimezone(zone).date()
    except OverflowError as error:
        raise Poison("A time is outside the calendar, so its day cannot be told.") from error


def origin_of(event: LeadEvent) -> str:
    """Where the event came from: utm source, else `properties.origin`, else who sent it (as for leads)."""
    utm = event.context.utm if event.context else None
    if utm and utm.source:
        return utm.source[:MAX_ORIGIN_CHARS]
    declared = (event.properties or {}).get("origin")
    if isinstance(declared, str) and declared:
        return declared[:MAX_ORIGIN_CHARS]
    return event.source[:MAX_ORIGIN_CHARS]


def count_event(event: LeadEvent, zone: tzinfo) -> list[Increment]:
    """What an event adds. Raises Poison when its day cannot be told."""
    day, origin = local_day(event.occurred_at, zone), origin_of(event)
    kpi = KPI_OF_EVENT.get(event.type)
    kpis = (Kpi.EVENTS,) if kpi is None else (Kpi.EVENTS, kpi)
    return [Increment(TallyKey(day, kpi, origin, "")) for kpi in kpis]


def summed(increments: Iterable[Increment]) -> list[Increment]:
    """One increment per row of the tally, in the order of the keys; rows that do not change are left out."""
    totals: dict[TallyKey, tuple[int, Decimal]] = {}
    for one in increments:
        count, amount = totals.get(one.key, (0, Decimal(0)))
        totals[one.key] = (count + one.count, amount + one.amount)
    return [Increment(key, count, amount) for key, (count, amount) in sorted(totals.items()) if count or amount]
