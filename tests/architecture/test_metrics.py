"""Every metric has a help text, stands in docs/metrics.md, and nothing asks Prometheus for one that does not exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from funnel import telemetry
from tests.architecture.markdown import ROOT, tables, text_of

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
_KINDS = {Counter: "counter", Gauge: "gauge", Histogram: "histogram"}


def declared() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Kind, labels and help by name, as a scrape names it."""
    found: dict[str, tuple[str, tuple[str, ...], str]] = {}
    for metric in vars(telemetry).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = family.name + ("_total" if isinstance(metric, Counter) else "")
            found[name] = (_KINDS[type(metric)], tuple(metric._labelnames), family.documentation)
    for total in telemetry.TOTALS:
        kind = "counter" if total.name.endswith("_total") else "gauge"
        found[total.name] = (kind, total.labels, total.help)
    return found


TOTALS = {family.name for family in telemetry.TOTALS}


def scraped() -> set[str]:
    """Names that a scrape can hold."""
    names = set()
    for name, (kind, _, _) in declared().items():
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
    return names


def test_every_metric_has_a_help_text() -> None:
    assert [name for name, (_, _, text) in declared().items() if not text.endswith(".")] == []


def test_the_document_lists_every_metric_as_declared() -> None:
    rows = [row for head, *rows in tables(text_of("docs/metrics.md")) if head[0] == "series" for row in rows]
    shown = {name.strip("`"): (kind, _labels(labels), text) for name, kind, labels, text in rows}
    assert shown == declared(), "\n".join(f"| `{name}` | {_row(*one)}" for name, one in declared().items())


def _labels(cell: str) -> tuple[str, ...]:
    return tuple(label.strip("` ") for label in cell.split(",") if label)


def _row(kind: str, labels: tuple[str, ...], text: str) -> str:
    return f"{kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |"


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            yield path.name, panel


def queries() -> list[str]:
    return [target["expr"] for _, panel in panels() for target in panel.get("targets", [])]


def test_there_is_a_dashboard_with_queries() -> None:
    assert queries()


@pytest.mark.parametrize("query", queries())
def test_a_panel_asks_only_for_series_that_exist(query: str) -> None:
    asked = set(re.findall(r"\bfunnel_\w+", query))
    assert asked
    assert asked <= scraped()


@pytest.mark.parametrize("query", queries())
def test_a_panel_groups_only_by_labels_that_exist(query: str) -> None:
    known = {label for _, labels, _ in declared().values() for label in labels} | {"le", "instance", "pod", "job"}
    groups = re.findall(r"\b(?:by|without) \(([^)]*)\)", query)
    assert {label.strip() for group in groups for label in group.split(",")} <= known


@pytest.mark.parametrize("query", [query for query in queries() if TOTALS & set(re.findall(r"\bfunnel_\w+", query))])
def test_database_totals_are_neither_added_up_nor_rated(query: str) -> None:
    """At a hand-over two replicas may export them for a while: `sum` would show everything twice."""
    assert re.search(r"\b(sum|rate|irate|increase)\b", query) is None
    assert query.count("max without (instance, pod)") == len(re.findall(r"\bfunnel_\w+", query))


def test_every_total_is_on_a_dashboard() -> None:
    shown = {name for query in queries() for name in re.findall(r"\bfunnel_\w+", query)}
    assert shown >= TOTALS


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    for path in DASHBOARDS:
        own = [panel for name, panel in panels() if name == path.name]
        assert len({panel["id"] for panel in own}) == len(own)
        cells = [cell for panel in own for cell in _cells(panel["gridPos"])]
        assert len(cells) == len(set(cells))


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    assert across.stop <= 24
    return [(x, y) for x in across for y in down]
