"""Facts about deals, in any order."""

from __future__ import annotations

import itertools

import pytest

from funnel.contracts import Amount
from services.routing.domain.deals import Deal, DealStatus, News, deal_key, told
from services.routing.domain.lead_state import Report
from tests.unit.routing.given import at, lead_id, outcome


def after(*reports: str) -> tuple[Deal, list[News]]:
    deal, news = Deal(lead_id(1), "d-1"), []
    for minute, report in enumerate(reports):
        deal, one = told(deal, outcome(report, 1, occurred_at=at(minute)))
        news.append(one)
    return deal, news


@pytest.mark.parametrize(
    ("reports", "status", "counted"),
    [
        (["opportunity.opened"], DealStatus.OPEN, [True]),
        (["opportunity.opened", "opportunity.opened"], DealStatus.OPEN, [True, False]),
        (["opportunity.opened", "won"], DealStatus.WON, [True, True]),
        (["won", "opportunity.opened"], DealStatus.WON, [True, True]),
        (["won", "won"], DealStatus.WON, [True, False]),
        (["won", "lost"], DealStatus.WON, [True, False]),
        (["lost", "won"], DealStatus.LOST, [True, False]),
        (["won", "won.cancelled"], DealStatus.LOST, [True, True]),
        (["won.cancelled", "won"], DealStatus.LOST, [True, True]),
        (["won", "won.cancelled", "won.cancelled"], DealStatus.LOST, [True, True, False]),
        (["won", "won.cancelled", "won"], DealStatus.LOST, [True, True, False]),
        (["lost", "won.cancelled"], DealStatus.LOST, [True, False]),
        (["lost", "reopened", "won"], DealStatus.WON, [True, True, True]),
        (["won", "won.cancelled", "reopened", "won"], DealStatus.WON, [True, True, True, True]),
        (["reopened", "reopened"], DealStatus.OPEN, [True, False]),
    ],
)
def test_a_deal_is_decided_once(reports: list[str], status: DealStatus, counted: list[bool]) -> None:
    deal, news = after(*reports)
    assert deal.status is status
    assert [one is not News.REPEAT for one in news] == counted


@pytest.mark.parametrize("order", list(itertools.permutations(["opportunity.opened", "won", "won.cancelled"])))
def test_an_order_and_its_cancellation_may_arrive_in_any_order(order: tuple[str, ...]) -> None:
    deal, news = after(*order)
    assert deal.status is DealStatus.LOST
    assert news == [News.NEW] * 3


def test_a_report_from_before_the_reopening_is_overtaken() -> None:
    deal, _ = after("lost", "opportunity.opened", "reopened")
    assert told(deal, outcome(Report.LOST, 1, occurred_at=at(1)))[1] is News.OVERTAKEN


def test_the_newest_amount_stays_and_a_repeat_does_not_change_it() -> None:
    deal = Deal(lead_id(1), "d-1")
    for report, value in [("opportunity.opened", "10"), ("deal.updated", "20"), ("won", None), ("won", "99")]:
        amount = Amount(value=value, currency="JPY") if value else None
        deal, _ = told(deal, outcome(report, 1, amount=amount, deal_stage=f"{report} {value}"))
    assert deal.amount == Amount(value="20", currency="JPY")
    assert deal.deal_stage == "won None"


def test_without_an_id_the_deal_is_that_of_the_cycle() -> None:
    assert (deal_key("d-1", 2), deal_key(None, 2)) == ("d-1", "cycle-2")
