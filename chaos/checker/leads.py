"""No lead is forgotten: whoever qualified is with a rep, held with a reason, or finished with."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from chaos.checker.history import History, Lead
from chaos.checker.verdict import Category, Finding

TOPIC: Final = "lead-scores"
NEVER_AGAIN: Final = frozenset({"disqualified", "suppressed"})
"""Stages after which routing acts on no qualification."""

PLAIN_EMAIL: Final = re.compile(r"[a-z0-9._+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+")
"""Addresses that need no normalising: the checker does not know how that is done."""

LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def findings(history: History) -> list[Finding]:
    """Every rule about leads."""
    return [_persons(history), _handed_over(history), _settled(history), _with_cause(history)]


def _persons(history: History) -> Finding:
    finding = Finding("I3", "A person whose event was applied under a plain e-mail address is a lead")
    if not history.has("answers.jsonl") or not history.has_table("scoring.identifier"):
        finding.skipped = "there are no answers, or no identifiers"
        return finding
    events = ((a.source, a.event_id or a.answer_id, a.person) for a in history.answers() if a.kind == "event")
    persons = {f"{source}\0{id_}": who for source, id_, who in events if id_ and who and PLAIN_EMAIL.fullmatch(who)}
    applied = history.inbox("scoring")
    wanted = {person for identity, person in persons.items() if identity in applied}
    known = {
        value
        for kind, value, lead in history.rows("scoring.identifier", "kind", "value", "lead_id")
        if kind == "email" and lead in history.score_versions
    }
    finding.checked = len(wanted)
    for person in sorted(wanted - known):
        finding.report(Category.LOST, person, "Their event was applied, and there is no lead of theirs.")
    return finding


def _handed_over(history: History) -> Finding:
    finding = Finding("I3", "Routing knows each lead as scoring last told of it")
    newest: dict[str, int] = defaultdict(int)
    for record in history.applied_by("routing", TOPIC):
        lead = record.value["lead_id"]
        newest[lead] = max(newest[lead], record.value["version"])
    for lead, version in newest.items():
        finding.checked += 1
        seen = history.leads[lead].score_version if lead in history.leads else 0
        if seen < version:
            finding.report(Category.LOST, lead, f"Routing has read version {version} of it, and is at {seen}.")
        if seen > version and history.is_whole(TOPIC):
            finding.report(Category.ABORTED_READ, lead, f"Routing is at {seen}; version {version} is the last it read.")
    return finding


def _settled(history: History) -> Finding:
    finding = Finding("I3", "A qualified lead is assigned, held with a reason, or finished with")
    ended = _last_ends(history)
    for lead_id, at in _qualified(history).items():
        finding.checked += 1
        lead = history.leads.get(lead_id)
        if lead is None:
            finding.report(Category.LOST, lead_id, "It qualified, and routing does not know it.")
        elif lead.state == "held" and not lead.held_reason:
            finding.report(Category.LOST, lead_id, "It is held without a reason.")
        elif lead.state not in ("assigned", "held") and not _acted_on(lead, at, ended):
            detail = f"It qualified at {at.isoformat()}, is {lead.state}, and nothing was done about it."
            finding.report(Category.LOST, lead_id, detail)
    return finding


def _acted_on(lead: Lead, qualified_at: datetime, ended: Mapping[str, datetime]) -> bool:
    """Whether the lead was given to somebody for this qualification, or was finished with after it."""
    if lead.stage in NEVER_AGAIN:
        return True
    known = (_time(lead.qualified_at), _time(lead.closed_at), ended.get(lead.lead_id, LONG_AGO))
    return max(known) >= qualified_at


def _with_cause(history: History) -> Finding:
    finding = Finding("I3", "A lead that is held or assigned has qualified")
    if not history.is_whole(TOPIC):
        finding.skipped = f"{TOPIC} no longer holds its beginning"
        return finding
    qualified = {record.value["lead_id"] for record in history.told(TOPIC) if record.value["qualified"]}
    for lead_id, lead in history.leads.items():
        if lead.state in ("held", "assigned"):
            finding.checked += 1
            if lead_id not in qualified:
                finding.report(Category.ABORTED_READ, lead_id, f"It is {lead.state}, and no record says it qualified.")
    return finding


def _qualified(history: History) -> Mapping[str, datetime]:
    """When each lead last qualified, as far as routing has read; history qualifies nobody."""
    found: dict[str, datetime] = {}
    for record in history.applied_by("routing", TOPIC):
        value = record.value
        if value["qualified"] and value.get("mode", "live") == "live":
            found[value["lead_id"]] = max(found.get(value["lead_id"], LONG_AGO), _time(value.get("qualified_at")))
    return found


def _last_ends(history: History) -> Mapping[str, datetime]:
    ended: dict[str, datetime] = {}
    for row in history.assignments:
        if row.ended_at:
            ended[row.lead_id] = max(ended.get(row.lead_id, LONG_AGO), _time(row.ended_at))
    return ended


def _time(text: str | None) -> datetime:
    return LONG_AGO if text is None else datetime.fromisoformat(text)
