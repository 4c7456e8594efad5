"""Alert rules ask for series that exist; each is tried, and leads to a place in the runbook that says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from funnel.audit.findings import MEANINGS, Kind
from funnel.ledger import AssignmentAccount, LeadAccount, Ledger, RecordAccount
from funnel.topics import topics
from tests.architecture.markdown import ROOT, section, tables, text_of
from tests.architecture.test_metrics import TOTALS, declared, scraped

FOLDER = ROOT / "deploy" / "prometheus"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
OF_PROMETHEUS = {"up"}


def names_in(query: str) -> set[str]:
    return set(re.findall(r"\b(?:funnel_\w+|up)\b", query))


def promtool(*arguments: str) -> str:
    """What promtool says; the test is skipped where it is not installed."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    done = subprocess.run([program, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_every_alert_is_tried() -> None:
    tried = set(re.findall(r"\bFunnel\w+", (FOLDER / "alerts_test.yml").read_text(encoding="utf-8")))
    assert tried == set(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_asks_only_for_series_that_exist(alert: str) -> None:
    asked = names_in(RULES[alert]["expr"])
    assert asked
    assert asked <= scraped() | OF_PROMETHEUS


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_uses_only_labels_that_exist(alert: str) -> None:
    rule = RULES[alert]
    known = {label for name in names_in(rule["expr"]) & declared().keys() for label in declared()[name][1]}
    known |= {"job", "instance", "pod"}
    used = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", rule["expr"]))
    groups = re.findall(r"\b(?:by|without) \(([^)]*)\)", rule["expr"])
    used |= {label.strip() for group in groups for label in group.split(",")}
    used |= set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert used <= known


@pytest.mark.parametrize("alert", [alert for alert in RULES if TOTALS & names_in(RULES[alert]["expr"])])
def test_an_alert_neither_adds_up_nor_rates_database_totals(alert: str) -> None:
    """At a hand-over two replicas may export them for a while."""
    query = RULES[alert]["expr"]
    assert re.search(r"\b(sum|rate|irate|increase)\b", query) is None
    asked = [name for name in re.findall(r"\bfunnel_\w+", query) if name in TOTALS]
    assert query.count("max without (instance, pod)") + query.count("absent(") == len(asked)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_what_is_and_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"].keys() == {"summary", "action", "runbook"}
    assert all(text.endswith(".") for name, text in rule["annotations"].items() if name != "runbook")


@pytest.mark.parametrize("alert", RULES)
def test_the_runbook_has_the_alert_and_the_place_it_names(alert: str) -> None:
    document, _, anchor = RULES[alert]["annotations"]["runbook"].partition("#")
    text = text_of(document)
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.M)
    }
    assert anchor in headings
    rows = {row[0].strip("`"): row for row in tables(section(text, "Alerts"))[0][1:]}
    assert f"(#{anchor})" in rows[alert][-1]
    assert rows[alert][1] == RULES[alert]["labels"]["severity"]


def test_the_runbook_lists_no_other_alert() -> None:
    listed = {row[0].strip("`") for row in tables(section(text_of("docs/operations.md"), "Alerts"))[0][1:]}
    assert listed == set(RULES)


def test_a_loss_is_told_within_a_minute() -> None:
    """The auditor may take half of it; the rest is scraping, evaluating, and waiting for nothing."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    group = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]
    scrape, evaluate = config["global"]["scrape_interval"], group["interval"]
    assert "for" not in RULES["FunnelUnaccounted"]
    assert int(scrape.rstrip("s")) + int(evaluate.rstrip("s")) <= 30


def test_the_lag_alarm_leaves_three_quarters_of_the_shortest_retention() -> None:
    (limit,) = re.findall(r"> (\d+)", RULES["FunnelLagNearRetention"]["expr"])
    assert int(limit) == min(topic.retention_days for topic in topics().values()) * 86_400 // 4


def test_the_kinds_of_unaccounted_are_documented() -> None:
    ledger = Ledger(RecordAccount(), RecordAccount(), LeadAccount(), AssignmentAccount())
    rows = tables(section(text_of("docs/metrics.md"), "Kinds of unaccounted"))[0][1:]
    shown = {kind.strip("` "): (told, meaning) for kinds, told, meaning in rows for kind in kinds.split(",")}
    assert {kind for kind, (told, _) in shown.items() if told == "ledger"} == ledger.unaccounted().keys()
    assert {kind: meaning for kind, (told, meaning) in shown.items() if told == "auditor"} == {
        kind.value: MEANINGS[kind] for kind in Kind
    }
