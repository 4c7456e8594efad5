"""One rep per lead: in the table, and on the topic that sales tools read."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from chaos.checker.history import Assignment, History, Record
from chaos.checker.verdict import Category, Finding

TOPIC: Final = "lead-assignments"


def findings(history: History) -> list[Finding]:
    """Every rule about assignments."""
    return [_one_active(history), _one_id(history), _epochs(history), _owners(history), _published(history)]


def _one_active(history: History) -> Finding:
    finding = Finding("I2", "A lead has one active assignment at most")
    active: dict[str, list[str]] = defaultdict(list)
    for row in history.assignments:
        finding.checked += 1
        if row.status == "active":
            active[row.lead_id].append(row.assignment_id)
    for lead, ids in active.items():
        if len(ids) > 1:
            finding.report(Category.DUPLICATED, lead, f"It has {len(ids)} active assignments: {', '.join(ids)}.")
    return finding


def _one_id(history: History) -> Finding:
    """Over table and topic together: a sales tool that acted on another id acted for another rep."""
    finding = Finding("I2", "A lead and an epoch have one assignment_id, in the table and on the topic")
    ids: dict[tuple[str, int], set[str]] = defaultdict(set)
    for row in history.assignments:
        ids[row.lead_id, row.epoch].add(row.assignment_id)
    for record in history.told(TOPIC):
        value = record.value
        ids[value["lead_id"], value["epoch"]].add(value["assignment_id"])
    finding.checked = len(ids)
    for (lead, epoch), found in ids.items():
        if len(found) > 1:
            finding.report(Category.DUPLICATED, lead, f"Epoch {epoch} has the ids {', '.join(sorted(found))}.")
    return finding


def _epochs(history: History) -> Finding:
    finding = Finding("I2", "The epochs of a lead are 1, 2, 3 .. up to the one it is in")
    epochs: dict[str, set[int]] = defaultdict(set)
    for row in history.assignments:
        epochs[row.lead_id].add(row.epoch)
    for lead_id, lead in history.leads.items():
        finding.checked += 1
        known = epochs.pop(lead_id, set())
        if missing := set(range(1, lead.epoch + 1)) - known:
            finding.report(Category.LOST, lead_id, f"It is in epoch {lead.epoch}; {sorted(missing)} have no row.")
        if beyond := [epoch for epoch in known if epoch > lead.epoch]:
            finding.report(Category.ABORTED_READ, lead_id, f"It is in epoch {lead.epoch}; there is also {beyond}.")
    for lead_id in epochs:
        finding.report(Category.ABORTED_READ, lead_id, "It has assignments, and routing does not know it.")
    return finding


def _owners(history: History) -> Finding:
    finding = Finding("I2", "Who owns a lead is told the same by the lead and by its assignments")
    owner = {row.lead_id: row for row in history.assignments if row.status == "active"}
    for lead_id, lead in history.leads.items():
        finding.checked += 1
        row = owner.get(lead_id)
        told = row.rep if row else None
        if told != lead.rep or (row is not None and row.epoch != lead.epoch):
            detail = f"The lead says {lead.rep} in epoch {lead.epoch}, its active assignment {told}."
            finding.report(Category.DIVERGED, lead_id, detail)
    return finding


def _published(history: History) -> Finding:
    finding = Finding("I4", "The assignment topic equals the table")
    rows = {row.assignment_id: row for row in history.assignments}
    records = history.told(TOPIC)
    for record in records:
        finding.checked += 1
        _compare(history, record, rows.get(record.value["assignment_id"]), finding)
    if not history.is_whole(TOPIC):
        return finding
    there = {record.id for record in records} | history.outbox[TOPIC].keys()
    for row in history.assignments:
        for status in ("assigned",) if row.status == "active" else ("assigned", row.status):
            if f"{row.assignment_id}:{status}" not in there:
                detail = f"{status} (lead {row.lead_id}, epoch {row.epoch}) is neither on the topic nor in the outbox."
                finding.report(Category.LOST, row.assignment_id, detail)
    return finding


def _compare(history: History, record: Record, row: Assignment | None, finding: Finding) -> None:
    value, what = record.value, record.place
    lead = history.leads.get(value["lead_id"])
    if row is None:
        finding.report(Category.ABORTED_READ, what, f"There is no such assignment of lead {value['lead_id']}.")
    elif value["status"] not in ("assigned", row.status):
        detail = f"It says {value['status']}; the assignment is {row.status}."
        finding.report(Category.ABORTED_READ, what, detail)
    elif lead is not None and value["version"] > lead.version:
        detail = f"It has version {value['version']}; the lead is at {lead.version}."
        finding.report(Category.ABORTED_READ, what, detail)
    else:
        told = (value["lead_id"], value["epoch"], value["rep"]["id"], value["pool"])
        kept = (row.lead_id, row.epoch, row.rep, row.pool)
        if told != kept:
            finding.report(Category.DIVERGED, what, f"It says {told}, the table {kept}.")
