"""Nobody has more than they can take, and how much that is is counted right."""

from __future__ import annotations

from collections import Counter

from chaos.checker.history import Decision, History, Json
from chaos.checker.progress import failovers
from chaos.checker.verdict import Category, Finding

GIVING = frozenset({"assigned", "released"})


def findings(history: History) -> list[Finding]:
    """Every rule about reps."""
    return [_counted(history), _never_above(history)]


def _counted(history: History) -> Finding:
    finding = Finding("I7", "A rep's open leads are their active assignments")
    active = Counter(row.rep for row in history.assignments if row.status == "active")
    for rep, open_ in history.rows("routing.rep", "id", "open"):
        finding.checked += 1
        if open_ != (rows := active.pop(rep, 0)):
            finding.report(Category.UNACCOUNTED, rep, f"The count is {open_}, and there are {rows} rows.")
    for rep, rows in active.items():
        finding.report(Category.ABORTED_READ, rep, f"{rows} leads are with a rep who does not exist.")
    return finding


def _never_above(history: History) -> Finding:
    """Each decision keeps what it knew of the rep; capacity that was lowered since takes no lead away."""
    finding = Finding("I7", "No rep is given more than their capacity")
    highest: Counter[str] = Counter()
    for row in history.decisions:
        chosen = _chosen(row)
        if chosen is None:
            continue
        finding.checked += 1
        highest[chosen["rep"]] = max(highest[chosen["rep"]], chosen["capacity"])
        if chosen["open"] >= chosen["capacity"] or chosen["skipped"] is not None:
            detail = (
                f"{chosen['rep']} had {chosen['open']} of {chosen['capacity']} ({chosen['skipped']}) and was chosen."
            )
            finding.report(Category.OVERFULL, f"{row.pool} number {row.number}", detail)
    if failovers(history):
        return finding  # what was adopted does not tell how much the rep could take
    for rep, open_, capacity in history.rows("routing.rep", "id", "open", "capacity"):
        if open_ > max(capacity, highest[rep]):
            finding.report(Category.OVERFULL, rep, f"{open_} leads are open; {capacity} is the most.")
    return finding


def _chosen(row: Decision) -> Json | None:
    if row.kind not in GIVING or row.rep is None:
        return None
    return next((candidate for candidate in row.candidates if candidate["rep"] == row.rep), None)
