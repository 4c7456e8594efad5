"""The product's own numbers, counted again: the counters of its positions, its ledger, its totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from chaos.checker.history import History, Json, Position
from chaos.checker.product import READERS, TOPIC_OF_KIND
from chaos.checker.published import repeats
from chaos.checker.verdict import Category, Finding

KPI_OF_EVENT: Final = {"page.viewed": "visits", "document.requested": "document_requests"}
KPI_OF_OUTCOME: Final = {
    "appointment.set": "appointments",
    "opportunity.opened": "opportunities",
    "won": "orders_won",
    "won.cancelled": "orders_cancelled",
    "lost": "lost",
}
KPIS_OF_TOPIC: Final = {
    "lead-events": ("events", *KPI_OF_EVENT.values()),
    "lead-scores": ("leads",),
    "lead-decisions": tuple(KPI_OF_OUTCOME.values()),
}
KEPT_OUTCOMES: Final = frozenset({*KPI_OF_OUTCOME, "deal.updated", "reopened"})
"""Types of outcomes that count, or change what others earned."""

LEAD_STATES: Final = ("nurturing", "pending", "assigned", "held", "merged", "suppressed", "closed")


def findings(history: History) -> list[Finding]:
    """Every rule about numbers."""
    about_metrics = [_totals(history), _counted(history), _leads(history), _receipts(history)]
    if not _has_read_all(history):
        for finding in about_metrics:
            finding.skipped, finding.violations = "metrics has not read everything", []
    return [
        _counters(history),
        _given_up(history),
        *about_metrics,
        _ledger(history),
        _unaccounted(history),
        _kpis(history),
    ]


def _has_read_all(history: History) -> bool:
    """Whether what metrics says is about everything that is on the topics."""
    return all(
        record.offset < history.next_offset("metrics", topic, record.partition)
        for topic in READERS["metrics"]
        for record in history.records(topic)
    )


# -- positions -------------------------------------------------------------------------------------------------------


def _counters(history: History) -> Finding:
    finding = Finding("I8", "passed = applied + duplicates + quarantined, as many as the log and the quarantine hold")
    for (service, topic), partitions in history.positions.items():
        records = Counter(record.partition for record in history.read_by(service, topic))
        aside = Counter(number for name, number, _ in history.quarantine[service] if name == topic)
        for number, position in partitions.items():
            finding.checked += 1
            low = history.bounds(topic).get(number, (0, 0))[0]
            in_log = records[number] if low <= position.first else None
            if told := _difference(position, in_log, aside[number]):
                finding.report(Category.UNACCOUNTED, f"{service} of {topic}/{number}", told)
    return finding


def _difference(position: Position, in_log: int | None, aside: int) -> str | None:
    """What does not add up, or None. `in_log` is None where the log forgot records that were counted."""
    passed = position.next - position.first - position.holes - position.skipped
    counted = position.applied + position.duplicates + position.quarantined
    if counted != passed:
        return f"It passed {passed} records and counted {counted}."
    if position.quarantined != aside:
        return f"It counted {position.quarantined} records in quarantine, and there are {aside}."
    if in_log is not None and not passed <= in_log <= passed + position.skipped:
        return f"It passed {passed} records, and the log holds {in_log} of them."
    return None


def _given_up(history: History) -> Finding:
    """Else a loss that somebody accepted would be a cover for another one."""
    finding = Finding("I1", "As many records are counted as given up as were taken from the service unread")
    if history.losses is None:
        finding.skipped = "nobody took records away"
        return finding
    for (service, topic), partitions in history.positions.items():
        for number, position in partitions.items():
            finding.checked += 1
            if position.skipped != (taken := history.losses[service, topic, number]):
                detail = f"{taken} records were taken from it, and {position.skipped} are counted as skipped."
                category = Category.LOST if position.skipped > taken else Category.UNACCOUNTED
                finding.report(category, f"{service} of {topic}/{number}", detail)
    return finding


# -- metrics' own tables ---------------------------------------------------------------------------------------------


def _totals(history: History) -> Finding:
    """Revenue is not recounted: it depends on the order of a deal's facts."""
    finding = Finding("I8", "The totals of metrics are what the topics add up to (all but revenue)")
    kept: Counter[str] = Counter()
    for kpi, count in history.rows("metrics.tally", "kpi", "count"):
        kept[kpi] += count
    expected = _recount(history)
    forgotten = {kpi for topic, kpis in KPIS_OF_TOPIC.items() if not history.is_whole(topic) for kpi in kpis}
    for kpi in (expected.keys() | kept.keys()) - {"revenue"} - forgotten:
        finding.checked += 1
        if kept[kpi] != expected[kpi]:
            finding.report(Category.UNACCOUNTED, kpi, f"Metrics has {kept[kpi]}, and the topics {expected[kpi]}.")
    return finding


def _recount(history: History) -> Counter[str]:
    """The KPIs from the records, each identity once."""
    totals: Counter[str] = Counter()
    for value in _once(history, "lead-events").values():
        totals["events"] += 1
        if kpi := KPI_OF_EVENT.get(value.get("type", "")):
            totals[kpi] += 1
    totals["leads"] = len({value["lead_id"] for value in _once(history, "lead-scores").values()})
    for value in _once(history, "lead-decisions").values():
        outcome = value.get("outcome") or {}
        if value["kind"] == "outcome.applied" and (kpi := KPI_OF_OUTCOME.get(outcome.get("type", ""))):
            totals[kpi] += 1
    return +totals


def _counted(history: History) -> Finding:
    finding = Finding("I8", "Metrics keeps each outcome that counts, once")
    expected = {
        value["decision_id"]
        for value in _once(history, "lead-decisions").values()
        if value["kind"] == "outcome.applied" and (value.get("outcome") or {}).get("type") in KEPT_OUTCOMES
    }
    finding.checked = len(expected)
    kept = Counter(history.rows("metrics.counted_outcome", "decision_id"))
    for id_ in expected | kept.keys():
        if kept[id_] != (wanted := int(id_ in expected)):
            finding.report(Category.UNACCOUNTED, id_, f"It is kept {kept[id_]} times, and should be {wanted} times.")
    return finding


def _once(history: History, topic: str) -> Mapping[str, Mapping[str, Any]]:
    """What metrics applied of a topic, by identity."""
    return {record.identity: record.value for record in history.applied_by("metrics", topic)}


def _leads(history: History) -> Finding:
    finding = Finding("I8", "Metrics has each lead where routing has it, with as many assignments")
    started: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for value in _once(history, "lead-assignments").values():
        (started if value["status"] == "assigned" else ended)[value["lead_id"]] += 1
    columns = ("lead_id", "state", "assignments_started", "assignments_ended")
    rows = {row[0]: row[1:] for row in history.rows("metrics.lead", *columns)}
    for lead_id in history.score_versions.keys() | rows.keys():
        finding.checked += 1
        state, *counts = rows.get(lead_id, (None, 0, 0))
        if counts != [started[lead_id], ended[lead_id]]:
            detail = (
                f"Metrics counts {counts} assignments begun and ended, the topic {started[lead_id]}, {ended[lead_id]}."
            )
            finding.report(Category.UNACCOUNTED, lead_id, detail)
        elif not _agree(state, lead_id, history):
            routing = history.leads[lead_id].state if lead_id in history.leads else "not known"
            finding.report(Category.UNACCOUNTED, lead_id, f"Metrics has it {state}, and in routing it is {routing}.")
    return finding


def _agree(state: str | None, lead_id: str, history: History) -> bool:
    lead = history.leads.get(lead_id)
    if lead is None or lead.state == "unknown":
        return False
    return state == lead.state or (lead.state == "nurturing" and state == "suppressed")


def _receipts(history: History) -> Finding:
    finding = Finding("I8", "Metrics has of each ingest process what its receipts add up to")
    if any(position.skipped for position in history.positions["metrics", "ingest-receipts"].values()):
        finding.skipped = "a person gave receipts up"
        return finding
    told: dict[str, list[int]] = {}
    for value in _once(history, "ingest-receipts").values():
        events, outcomes = told.get(value["process"], (0, 0))
        told[value["process"]] = [events + value["events"], outcomes + value["outcomes"]]
    kept = {row[0]: list(row[1:]) for row in history.rows("metrics.answered", "process", "events", "outcomes")}
    for process in told.keys() | kept.keys():
        finding.checked += 1
        if told.get(process) != kept.get(process):
            detail = f"Metrics has {kept.get(process)} events and outcomes, and the receipts {told.get(process)}."
            finding.report(Category.UNACCOUNTED, process, detail)
    return finding


# -- what the product answers ----------------------------------------------------------------------------------------


def _ledger(history: History) -> Finding:
    finding = Finding("I8", "The ledger adds up, and says what the tables say")
    ledger = (history.metrics or {}).get("ledger")
    if ledger is None:
        finding.skipped = "the ledger was not asked for"
        return finding
    for kind, service, topic in (("events", "scoring", "lead-events"), ("outcomes", "routing", "lead-outcomes")):
        told = ledger[kind]
        parts = told["applied"] + told["duplicates"] + told["quarantined"] + told["in_flight"]
        _same(finding, f"{kind}: accepted", told["accepted"], parts)
        for name in ("applied", "duplicates", "quarantined", "skipped"):
            rows = history.positions[service, topic].values()
            _same(finding, f"{kind}: {name}", told[name], sum(getattr(row, name) for row in rows))
        _same(finding, f"{kind}: unaccounted", told["unaccounted"], 0)
    leads, in_routing = ledger["leads"], Counter(lead.state for lead in history.leads.values())
    _same(finding, "leads: sum of the states", sum(leads[state] for state in LEAD_STATES), leads["total"])
    _same(finding, "leads: total", leads["total"], len(history.score_versions))
    for state in ("assigned", "held", "closed"):
        _same(finding, f"leads: {state}", leads[state], in_routing[state])
    _same(finding, "leads: unaccounted", leads["unaccounted"], 0)
    _assignments(history, ledger["assignments"], finding)
    return finding


def _assignments(history: History, told: Json, finding: Finding) -> None:
    _same(finding, "assignments: active", told["active"], sum(row.status == "active" for row in history.assignments))
    published = len({record.identity for record in history.told("lead-assignments")})
    if history.is_whole("lead-assignments"):
        _same(finding, "assignments: published", told["published"], published)
    _same(finding, "assignments: unpublished", told["unpublished"], len(history.outbox["lead-assignments"]))


def _same(finding: Finding, what: str, told: object, found: object) -> None:
    finding.checked += 1
    if told != found:
        finding.report(Category.UNACCOUNTED, what, f"It says {told}; it should be {found}.")


def _unaccounted(history: History) -> Finding:
    finding = Finding("I8", "The product itself misses nothing")
    told = (history.metrics or {}).get("unaccounted")
    if told is None:
        finding.skipped = "metrics was not asked"
        return finding
    explained = _explained(history)
    for kind, count in told.items():
        finding.checked += 1
        if count > (most := explained.get(kind, 0)):
            finding.report(Category.UNACCOUNTED, kind, f"It misses {count}; {most} are explained.")
    return finding


def _explained(history: History) -> Mapping[str, int]:
    """What the product rightly tells of, and is no loss: repeats on the topic, ids that clients used twice, and records
    that a person gave up."""
    given_up = sum(position.skipped for at in history.positions.values() for position in at.values())
    places = sum(len(aside) for aside in history.quarantine.values())
    return {
        "assignments_repeated": repeats(history)["lead-assignments"],
        "ids_reused": places if _two_bodies(history) else 0,
        "effects_lost": given_up,
    }


def _two_bodies(history: History) -> bool:
    for topic in TOPIC_OF_KIND.values():
        bodies: dict[str, str] = {}
        if any(bodies.setdefault(record.identity, record.body) != record.body for record in history.records(topic)):
            return True
    return False


def _kpis(history: History) -> Finding:
    finding = Finding("I8", "The KPIs that are answered are those of the tally")
    total = ((history.metrics or {}).get("kpis") or {}).get("total")
    if total is None:
        finding.skipped = "the KPIs were not asked for"
        return finding
    kept: Counter[str] = Counter()
    for kpi, count in history.rows("metrics.tally", "kpi", "count"):
        kept[kpi] += count
    for kpi in ("events", "leads", *KPI_OF_EVENT.values(), *KPI_OF_OUTCOME.values()):
        _same(finding, kpi, total[kpi], kept[kpi])
    return finding
