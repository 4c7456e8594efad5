"""Outcomes that count: appointments, and facts about deals with the revenue that follows from them.

A deal earns its amount while it is won and neither cancelled nor reopened. Its amount is the last one told, whatever
fact told it. Each fact puts into the tally, on its own day, what it changed: a correction of last month's order shows
this month, and closed months stay as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, tzinfo
from decimal import Decimal

from funnel.contracts import LeadDecision
from services.metrics.domain.tallies import Increment, Kpi, TallyKey, local_day

KPI_OF_OUTCOME = {
    "appointment.set": Kpi.APPOINTMENTS,
    "opportunity.opened": Kpi.OPPORTUNITIES,
    "won": Kpi.ORDERS_WON,
    "won.cancelled": Kpi.ORDERS_CANCELLED,
    "lost": Kpi.LOST,
}

KEPT = frozenset({*KPI_OF_OUTCOME, "deal.updated", "reopened"})
"""Types of outcomes that count, or change what others earned."""

_OVERTAKEN = "overtaken"
"""Flag of a deal's fact that counts, though the deal was reopened since and stays open."""

Money = tuple[str, Decimal]


@dataclass(frozen=True, slots=True)
class CountedOutcome:
    """An applied outcome as it was counted. `amount` is None where none was told; then `currency` is empty."""

    decision_id: str
    lead_id: str
    type: str
    day: date
    deal_id: str | None
    currency: str
    amount: Decimal | None
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class _Deal:
    """A deal after some of its facts."""

    amount: Money = ("", Decimal(0))
    won: bool = False
    lost: bool = False
    cancelled: bool = False

    @property
    def earned(self) -> Money:
        return self.amount if self.won and not self.cancelled else ("", Decimal(0))

    def is_followed_by(self, one: CountedOutcome) -> bool:
        """Whether `one` begins another deal: routing applies it about a decided deal only then, for a lead whose deals
        have no ids."""
        return (self.won or self.lost) and one.type in ("won", "lost", "opportunity.opened")

    def after(self, one: CountedOutcome) -> _Deal:
        """The deal after a fact about it."""
        deal = self if one.amount is None else replace(self, amount=(one.currency, one.amount))
        match one.type:
            case "won":
                return replace(deal, won=True)
            case "lost":
                return replace(deal, lost=True)
            case "won.cancelled":  # may come before the order: that one counts but earns nothing
                return replace(deal, cancelled=True)
            case "reopened":
                return replace(deal, won=False, lost=False, cancelled=False)
        return deal


def counted_outcome(decision: LeadDecision, zone: tzinfo) -> CountedOutcome | None:
    """The outcome of `decision` if it counts. Raises Poison when its day cannot be told."""
    outcome = decision.outcome
    if decision.kind != "outcome.applied" or outcome is None or outcome.type not in KEPT or decision.lead_id is None:
        return None
    return CountedOutcome(
        decision_id=decision.decision_id,
        lead_id=decision.lead_id,
        type=outcome.type,
        day=local_day(outcome.occurred_at, zone),
        deal_id=outcome.deal_id,
        currency=outcome.amount.currency if outcome.amount else "",
        amount=Decimal(outcome.amount.value) if outcome.amount else None,
        overtaken=_OVERTAKEN in outcome.flags,
    )


def tally_of(outcomes: Sequence[CountedOutcome], origin: str) -> list[Increment]:
    """What all counted outcomes of one lead, in the order they were applied, put into the tally of `origin`."""
    deals: dict[str | None, _Deal] = {}
    increments: list[Increment] = []
    for one in outcomes:
        if kpi := KPI_OF_OUTCOME.get(one.type):
            increments.append(Increment(TallyKey(one.day, kpi, origin, "")))
        if one.overtaken or one.type == "appointment.set":
            continue
        before = deals.get(one.deal_id, _Deal())
        if before.is_followed_by(one):
            before = _Deal()
        deals[one.deal_id] = after = before.after(one)
        increments += _revenue(one.day, origin, before, after)
    return increments


def negated(increments: Sequence[Increment]) -> list[Increment]:
    """What takes `increments` out of the tally again."""
    return [replace(one, count=-one.count, amount=-one.amount) for one in increments]


def _revenue(day: date, origin: str, before: _Deal, after: _Deal) -> list[Increment]:
    lost_currency, lost = before.earned
    currency, earned = after.earned
    return [
        Increment(TallyKey(day, Kpi.REVENUE, origin, lost_currency), 0, -lost),
        Increment(TallyKey(day, Kpi.REVENUE, origin, currency), 0, earned),
    ]
