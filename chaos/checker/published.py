"""Scores and decisions on their topics against the tables, and what every repeat on a topic has to be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from chaos.checker.history import Decision, History, Record
from chaos.checker.product import READERS, TOPIC_OF_KIND, TOPICS, UNPUBLISHED_DECISIONS
from chaos.checker.verdict import Category, Finding

SCORES: Final = "lead-scores"
DECISIONS: Final = "lead-decisions"
OWN: Final = tuple(topic for topic in TOPICS if topic not in TOPIC_OF_KIND.values())
"""Topics that only our services write. On the others a client's repeat is the same event in other bytes."""


def findings(history: History) -> list[Finding]:
    """Every rule about what is published."""
    return [_strangers(history), _scores(history), _decisions(history), _versions(history), _repeats(history)]


def _strangers(history: History) -> Finding:
    """What some outsider wrote on a topic of ours must at least be put aside by who reads it."""
    finding = Finding("I4", "What is on a topic of ours is one of its records, or is in quarantine")
    for topic in OWN:
        readers = [service for service, topics in READERS.items() if topic in topics]
        for record in history.records(topic):
            finding.checked += 1
            place = (topic, record.partition, record.offset)
            if not record.is_one and not all(place in history.quarantine[service] for service in readers):
                finding.report(Category.ABORTED_READ, record.place, f"It is no record of {topic}.")
    return finding


def _scores(history: History) -> Finding:
    finding = Finding("I4", "lead-scores tells each version of each lead that scoring has, and no other")
    versions: dict[str, set[int]] = defaultdict(set)
    for record in history.told(SCORES):
        finding.checked += 1
        lead, version = record.value["lead_id"], record.value["version"]
        versions[lead].add(version)
        if version > (known := history.score_versions.get(lead, 0)):
            finding.report(Category.ABORTED_READ, record.place, f"Version {version}; scoring is at {known}.")
    for value in history.outbox[SCORES].values():
        versions[value["lead_id"]].add(value["version"])
    if history.is_whole(SCORES):
        for lead, known in history.score_versions.items():
            if missing := set(range(1, known + 1)) - versions[lead]:
                detail = f"Scoring is at {known}; {sorted(missing)} are neither on the topic nor in the outbox."
                finding.report(Category.LOST, lead, detail)
    return finding


def _decisions(history: History) -> Finding:
    finding = Finding("I4", "lead-decisions equals the table, but for plain assignments")
    rows = {row.decision_id: row for row in history.decisions if row.kind not in UNPUBLISHED_DECISIONS}
    for record in history.told(DECISIONS):
        finding.checked += 1
        _compare(record, rows.get(record.id), finding)
    if history.is_whole(DECISIONS):
        there = {record.id for record in history.told(DECISIONS)} | history.outbox[DECISIONS].keys()
        for id_ in rows.keys() - there:
            detail = f"{rows[id_].kind} of lead {rows[id_].lead_id} is neither on the topic nor in the outbox."
            finding.report(Category.LOST, id_, detail)
    return finding


def _compare(record: Record, row: Decision | None, finding: Finding) -> None:
    if row is None:
        finding.report(Category.ABORTED_READ, record.place, "Routing has no such decision.")
        return
    value = record.value
    told = tuple(value.get(name) for name in ("lead_id", "version", "kind", "pool", "number"))
    kept = (row.lead_id, row.version, row.kind, row.pool, row.number)
    if told != kept:
        finding.report(Category.DIVERGED, record.place, f"It says {told}, the table {kept}.")


def _versions(history: History) -> Finding:
    """Routing numbers what it publishes about a lead, over both its topics."""
    finding = Finding("I4", "A version of a lead is told by one record of routing")
    told: dict[tuple[str, int], str] = {}
    known = {row.assignment_id for row in history.assignments} | {row.decision_id for row in history.decisions}
    for topic, id_ in (("lead-assignments", "assignment_id"), (DECISIONS, "decision_id")):
        for record in history.told(topic):
            lead, version = record.value.get("lead_id"), record.value.get("version")
            if lead is None or version is None or record.value[id_] not in known:
                continue  # about no lead, or known to be no part of the table
            finding.checked += 1
            if (other := told.setdefault((lead, version), record.id)) != record.id:
                finding.report(Category.DUPLICATED, lead, f"Version {version} is told by {other} and by {record.id}.")
    return finding


def _repeats(history: History) -> Finding:
    finding = Finding("I4", "A repeat on a topic of ours is the same bytes under the same ce_id")
    for topic in OWN:
        seen: dict[str, str] = {}
        for record in history.records(topic):
            finding.checked += 1
            if seen.setdefault(record.identity, record.sha256) != record.sha256:
                finding.report(Category.DIVERGED, record.place, f"Other bytes under this id came before on {topic}.")
    return finding


def repeats(history: History) -> Mapping[str, int]:
    """Per topic how many records were there before under the same identity."""
    counts = {}
    for topic in TOPICS:
        records = history.records(topic)
        counts[topic] = len(records) - len({record.identity for record in records})
    return counts
