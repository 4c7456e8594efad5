"""All rules over one history, and the figures of the run."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from chaos.checker import answers, assignments, books, effects, leads, order, progress, published, reps
from chaos.checker.history import BadHistory, History
from chaos.checker.verdict import Category, Finding, Verdict

FAMILIES: Final[Sequence[Callable[[History], list[Finding]]]] = (
    answers.findings,
    effects.findings,
    assignments.findings,
    leads.findings,
    published.findings,
    order.findings,
    reps.findings,
    books.findings,
    progress.findings,
)


def check(directory: Path | str) -> Verdict:
    """The verdict on the run whose history is in `directory`. Raises BadHistory when it cannot be read."""
    history = History(Path(directory))
    try:
        findings = [finding for family in FAMILIES for finding in family(history)]
        findings.append(_webhooks())
        counts = _counts(history, findings)
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__} {error} in {traceback.extract_tb(error.__traceback__)[-1].name}"
        raise BadHistory(f"{directory}: something in it is not as it should be: {reason}.") from error
    findings.sort(key=lambda finding: int(finding.invariant[1:]))
    return Verdict(findings, counts)


def _webhooks() -> Finding:
    reason = "the product has no webhooks yet"
    return Finding("I6", "A receiver sees each delivery, under one webhook-id", skipped=reason)


def _counts(history: History, findings: Sequence[Finding]) -> dict[str, Any]:
    categories = Counter(violation.category for finding in findings for violation in finding.violations)
    states = Counter(lead.state for lead in history.leads.values())
    aside = {place for places in history.quarantine.values() for place in places}
    again = published.repeats(history)
    return {
        "events": len({record.identity for record in history.records("lead-events")}),
        "outcomes": len({record.identity for record in history.records("lead-outcomes")}),
        "answered": sum(finding.checked for finding in findings if finding.says in answers.ABOUT_STORED),
        "violations": sum(categories.values()),
        **{category.value: categories[category] for category in Category},
        "repeats_on_topic": sum(again[topic] for topic in published.OWN),
        "repeats_of_clients": sum(again.values()) - sum(again[topic] for topic in published.OWN),
        "quarantined": len(aside),
        "leads": len(history.score_versions),
        "assigned": states["assigned"],
        "held": states["held"],
        "assignments": len(history.assignments),
        "recovery_seconds": progress.recoveries(history),
    }
