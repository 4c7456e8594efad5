"""Series of database totals exist only while their publisher stands by them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from funnel.telemetry import TOTALS, Sample, Totals


def lines(totals: Totals) -> list[str]:
    registry = CollectorRegistry()
    registry.register(totals)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_what_is_published_is_told_under_its_name_and_labels() -> None:
    totals = Totals()
    totals.publish("a", [Sample("funnel_visits_total", {}, 3), Sample("funnel_revenue", {"currency": "JPY"}, 12.5)])
    assert lines(totals) == ["funnel_visits_total 3.0", 'funnel_revenue{currency="JPY"} 12.5']


def test_what_is_withdrawn_is_gone_not_frozen() -> None:
    totals = Totals()
    totals.publish("a", [Sample("funnel_visits_total", {}, 3)])
    totals.withdraw("a")
    assert lines(totals) == []


def test_a_late_withdrawal_does_not_silence_the_new_publisher() -> None:
    totals = Totals()
    totals.publish("a", [Sample("funnel_visits_total", {}, 3)])
    totals.publish("b", [Sample("funnel_visits_total", {}, 4)])
    totals.withdraw("a")
    assert lines(totals) == ["funnel_visits_total 4.0"]


def test_the_series_others_chart_keep_their_names() -> None:
    promised = {
        "funnel_leads",
        "funnel_visits_total",
        "funnel_document_requests_total",
        "funnel_appointments_total",
        "funnel_opportunities_total",
        "funnel_orders_won_total",
        "funnel_orders_cancelled_total",
        "funnel_revenue",
        "funnel_win_ratio",
        "funnel_unaccounted",
    }
    assert promised <= {family.name for family in TOTALS}
