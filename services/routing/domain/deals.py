"""Deals: the unit of opportunities, orders and revenue.

A deal is won or lost once; only `reopened` makes it open again. A cancellation may arrive before the order it cancels:
it is remembered, and the order that follows counts but does not stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from funnel.contracts import Amount
from services.routing.domain.lead import Outcome
from services.routing.domain.lead_state import Report


class DealStatus(StrEnum):
    OPEN = "open"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Deal:
    """One deal of a lead. `key` is the reporter's deal id, or the lead's cycle where none was given."""

    lead_id: str
    key: str
    deal_stage: str | None = None
    amount: Amount | None = None
    opened_at: datetime | None = None
    won_at: datetime | None = None
    lost_at: datetime | None = None
    cancelled_at: datetime | None = None
    reopened_at: datetime | None = None

    @property
    def status(self) -> DealStatus:
        """A cancelled order is a deal that was lost."""
        if self.lost_at is not None or (self.won_at is not None and self.cancelled_at is not None):
            return DealStatus.LOST
        return DealStatus.OPEN if self.won_at is None else DealStatus.WON


class News(StrEnum):
    """What a report tells about a deal."""

    NEW = "new"
    REPEAT = "repeat"
    """Known already: kept, counts nothing."""
    OVERTAKEN = "overtaken"
    """Counts, but the deal was reopened since: it stays open."""


def deal_key(deal_id: str | None, cycle: int) -> str:
    """Without an id there is one deal per lead and cycle."""
    return deal_id or f"cycle-{cycle}"


def told(deal: Deal, outcome: Outcome) -> tuple[Deal, News]:
    """The deal after a fact about it."""
    deal, news = _FOLDS[outcome.report](deal, outcome)
    if news is News.NEW:
        deal = replace(deal, deal_stage=outcome.deal_stage or deal.deal_stage, amount=outcome.amount or deal.amount)
    return deal, news


def _opened(deal: Deal, outcome: Outcome) -> tuple[Deal, News]:
    if deal.opened_at is not None:
        return deal, News.REPEAT
    return replace(deal, opened_at=outcome.occurred_at), News.NEW


def _updated(deal: Deal, _: Outcome) -> tuple[Deal, News]:
    return deal, News.NEW


def _won(deal: Deal, outcome: Outcome) -> tuple[Deal, News]:
    if deal.won_at is not None or deal.lost_at is not None:
        return deal, News.REPEAT
    if _before_reopening(deal, outcome):
        return deal, News.OVERTAKEN
    return replace(deal, won_at=outcome.occurred_at), News.NEW


def _lost(deal: Deal, outcome: Outcome) -> tuple[Deal, News]:
    if deal.won_at is not None or deal.lost_at is not None:
        return deal, News.REPEAT
    if _before_reopening(deal, outcome):
        return deal, News.OVERTAKEN
    return replace(deal, lost_at=outcome.occurred_at), News.NEW


def _cancelled(deal: Deal, outcome: Outcome) -> tuple[Deal, News]:
    if deal.cancelled_at is not None or deal.lost_at is not None:
        return deal, News.REPEAT
    return replace(deal, cancelled_at=outcome.occurred_at), News.NEW


def _reopened(deal: Deal, outcome: Outcome) -> tuple[Deal, News]:
    if deal.reopened_at is not None and deal.status is DealStatus.OPEN:
        return deal, News.REPEAT
    opened = replace(deal, won_at=None, lost_at=None, cancelled_at=None)
    return replace(opened, reopened_at=outcome.occurred_at), News.NEW


def _before_reopening(deal: Deal, outcome: Outcome) -> bool:
    return deal.reopened_at is not None and outcome.occurred_at < deal.reopened_at


_FOLDS = {
    Report.OPPORTUNITY_OPENED: _opened,
    Report.DEAL_UPDATED: _updated,
    Report.WON: _won,
    Report.LOST: _lost,
    Report.WON_CANCELLED: _cancelled,
    Report.REOPENED: _reopened,
}
