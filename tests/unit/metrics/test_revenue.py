"""What deals earn, whatever is reported about them and in whatever order it was applied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from services.metrics.domain.outcomes import CountedOutcome, counted_outcome, negated, tally_of
from services.metrics.domain.tallies import Kpi, summed
from tests.unit.metrics.records import NOON, decision, outcome

TOKYO = ZoneInfo("Asia/Tokyo")


def facts(*told: tuple[str, dict[str, Any]]) -> list[CountedOutcome]:
    """Applied outcomes, one a day."""
    found = [
        counted_outcome(decision(n, outcome=outcome(type_, at=NOON + timedelta(days=n), **fields)), TOKYO)
        for n, (type_, fields) in enumerate(told)
    ]
    return [one for one in found if one is not None]


def revenue(*told: tuple[str, dict[str, Any]]) -> dict[date, Decimal]:
    """Yen per day."""
    rows = summed(tally_of(facts(*told), "web"))
    return {row.key.day: row.amount for row in rows if row.key.kpi is Kpi.REVENUE and row.key.currency == "JPY"}


def day(number: int) -> date:
    return NOON.date() + timedelta(days=number)


def test_a_cancelled_order_takes_back_what_its_own_deal_earned_on_the_day_of_the_cancellation() -> None:
    assert revenue(
        ("won", {"yen": "100", "deal_id": "a"}),
        ("won", {"yen": "40", "deal_id": "b"}),
        ("won.cancelled", {"deal_id": "a"}),
    ) == {day(0): 100, day(1): 40, day(2): -100}


def test_a_cancellation_known_before_its_order_leaves_no_revenue_and_counts_both() -> None:
    told = facts(("won.cancelled", {"deal_id": "a"}), ("won", {"yen": "100", "deal_id": "a"}))
    rows = summed(tally_of(told, "web"))
    assert {row.key.kpi: row.count for row in rows} == {Kpi.ORDERS_WON: 1, Kpi.ORDERS_CANCELLED: 1}


def test_a_reopened_deal_earns_nothing_until_it_is_won_again() -> None:
    assert revenue(("won", {"yen": "100"}), ("reopened", {}), ("won", {"yen": "70"})) == {
        day(0): 100,
        day(1): -100,
        day(2): 70,
    }


def test_an_order_that_was_reopened_before_it_was_heard_of_counts_and_earns_nothing() -> None:
    told = facts(("reopened", {}), ("won", {"yen": "100", "flags": ["overtaken"]}))
    assert {row.key.kpi for row in summed(tally_of(told, "web"))} == {Kpi.ORDERS_WON}


def test_a_later_amount_corrects_the_revenue_on_its_own_day() -> None:
    assert revenue(("won", {"yen": "100"}), ("deal.updated", {"yen": "80"})) == {day(0): 100, day(1): -20}


def test_an_order_without_an_amount_earns_the_last_one_told_of_the_deal() -> None:
    assert revenue(("opportunity.opened", {"yen": "90"}), ("deal.updated", {"yen": "95"}), ("won", {})) == {day(2): 95}


def test_the_next_deal_of_a_lead_whose_deals_have_no_ids_is_another_deal() -> None:
    assert revenue(
        ("won", {"yen": "100"}),
        ("opportunity.opened", {"yen": "30"}),
        ("won", {"yen": "40"}),
        ("won.cancelled", {}),
    ) == {day(0): 100, day(2): 40, day(3): -40}
    assert revenue(("won", {"yen": "100"}), ("lost", {})) == {day(0): 100}


def test_an_appointment_or_a_lost_deal_earns_nothing() -> None:
    assert revenue(("appointment.set", {"yen": "5"}), ("lost", {"yen": "100"})) == {}


told = st.lists(
    st.tuples(
        st.sampled_from(["opportunity.opened", "deal.updated", "won", "won.cancelled", "lost", "reopened"]),
        st.fixed_dictionaries(
            {"deal_id": st.sampled_from(["a", "b", None]), "yen": st.none() | st.integers(0, 9).map(str)}
        ),
    ),
    max_size=12,
)


@given(told=told, cut=st.integers(0, 12))
def test_counting_one_by_one_equals_counting_all_at_once(told: Sequence[tuple[str, dict[str, Any]]], cut: int) -> None:
    whole = facts(*told)
    some = whole[:cut]
    rest = negated(tally_of(some, "web")) + tally_of(whole, "web")
    assert summed(tally_of(some, "web") + rest) == summed(tally_of(whole, "web"))


@given(told=told)
def test_a_deal_never_owes_money(told: Sequence[tuple[str, dict[str, Any]]]) -> None:
    running: dict[str | None, Decimal] = defaultdict(Decimal)
    whole = facts(*told)
    for deal in {one.deal_id for one in whole}:
        for increment in tally_of([one for one in whole if one.deal_id == deal], "web"):
            running[deal] += increment.amount
        assert running[deal] >= 0
