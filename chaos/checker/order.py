"""Order: the first occurrences of a lead's records, and the numbers of a pool's decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from chaos.checker.history import History
from chaos.checker.progress import failovers
from chaos.checker.verdict import Category, Finding

ENDED: Final = frozenset({"revoked", "closed"})


def findings(history: History) -> list[Finding]:
    """Every rule about order."""
    return [
        *(_per_lead(history, topic) for topic in ("lead-scores", "lead-assignments", "lead-decisions")),
        _numbers(history),
    ]


def _per_lead(history: History, topic: str) -> Finding:
    """A partition has an order, a topic has none: a lead's records are compared within each."""
    finding = Finding("I5", f"On {topic} a lead's records come in their order")
    reached: dict[tuple[int, str], tuple[int, ...]] = {}
    seen: set[str] = set()
    for record in history.told(topic):
        lead = record.value.get("lead_id")
        if lead is None or record.id in seen:
            continue
        seen.add(record.id)
        finding.checked += 1
        place, before = _place(record.value), reached.get((record.partition, lead), ())
        if place < before:
            detail = f"{_told(place)} comes after {_told(before)} (lead {lead})."
            finding.report(Category.REORDERED, record.place, detail)
        reached[record.partition, lead] = max(place, before)
    return finding


def _place(value: Mapping[str, Any]) -> tuple[int, ...]:
    """What has to grow: epoch and status of an assignment, else the version."""
    if "epoch" in value and "status" in value:
        return value["epoch"], int(value["status"] in ENDED), value["version"]
    return (value["version"],)


def _told(place: tuple[int, ...]) -> str:
    return f"epoch {place[0]}, version {place[2]}" if len(place) > 1 else f"version {place[0]}"


def _numbers(history: History) -> Finding:
    finding = Finding("I5", "The decisions of a pool are numbered without a gap")
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in history.decisions:
        if row.number is not None and row.pool is not None:
            numbers[row.pool].append(row.number)
            if row.kind == "lost" and not failovers(history):
                detail = "It was given up as lost with the end of a database, and there was no failover."
                finding.report(Category.LOST, f"{row.pool} number {row.number}", detail)
    last = dict(history.rows("routing.pool", "name", "decisions"))
    for pool in last.keys() | numbers.keys():
        found, expected = numbers[pool], last.get(pool, 0)
        finding.checked += len(found)
        if missing := set(range(1, expected + 1)) - set(found):
            finding.report(Category.LOST, pool, f"{expected} were taken; {_some(missing)} have no row.")
        if beyond := {number for number in found if number > expected}:
            finding.report(Category.ABORTED_READ, pool, f"{expected} were taken; there is also {_some(beyond)}.")
        if len(found) != len(set(found)):
            finding.report(Category.DUPLICATED, pool, "A number was given twice.")
    return finding


def _some(numbers: set[int]) -> str:
    first = ", ".join(map(str, sorted(numbers)[:5]))
    return first if len(numbers) <= 5 else f"{first} and {len(numbers) - 5} more"
