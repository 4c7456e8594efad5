"""What came of each row: kept as JSON row by row, so that a matrix can go on later; shown as a table in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Ending(StrEnum):
    """How a row ended."""

    HELD = "held"
    """Everything is as promised."""
    VIOLATED = "violated"
    """The checker found something."""
    FAILED = "failed"
    """It did not get where it must, or hung."""
    NOT_RUN = "not run"
    """It cannot be made here; `why` is the reason."""


@dataclass(frozen=True, slots=True)
class Result:
    """One row. `counts` are the checker's, `why` is in words what went wrong; times in seconds."""

    row: str
    title: str
    ending: Ending
    seed: int
    size: str
    seconds: float = 0.0
    faults: int = 0
    kills: int = 0
    why: str = ""
    violations: Sequence[Mapping[str, Any]] = field(default_factory=list)
    counts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether it needs nobody's attention."""
        return self.ending in (Ending.HELD, Ending.NOT_RUN)


class Report:
    """The results so far, in a file that is whole at every moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.results: list[Result] = []

    def resume(self) -> None:
        """Take over what an earlier run left in the file."""
        if self._path.exists():
            told = json.loads(self._path.read_text(encoding="utf-8"))
            self.results = [Result(**{**one, "ending": Ending(one["ending"])}) for one in told["rows"]]

    def has(self, row: str, seed: int, size: str) -> bool:
        """Whether the row held with this seed and size, or could not be made."""
        return any(one.good and (one.row, one.seed, one.size) == (row, seed, size) for one in self.results)

    def add(self, result: Result) -> None:
        """Keep a result in place of the row's last one, and write the file."""
        self.results = [one for one in self.results if one.row != result.row] + [result]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        told = {"totals": totals(self.results), "rows": [asdict(one) for one in self.results]}
        draft.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(self._path)


_SUMMED = ("events", "answered", "lost", "duplicated", "repeats_on_topic", "quarantined", "leads", "assigned")


def totals(results: Iterable[Result]) -> dict[str, int]:
    """The sums over all rows that ran."""
    ran = [one for one in results if one.counts]
    found = {name: sum(int(one.counts.get(name) or 0) for one in ran) for name in _SUMMED}
    return {"rows": len(ran), "faults": sum(o.faults for o in ran), "kills": sum(o.kills for o in ran), **found}


_COLUMNS = (
    "row",
    "fault",
    "events",
    "faults",
    "kills",
    "lost",
    "duplicated",
    "repeats on topic",
    "recovery s",
    "result",
)


def markdown(results: Sequence[Result]) -> str:
    """The table, one row a line, the sums last, and below it what went wrong."""
    ordered = sorted(results, key=lambda one: (int("".join(c for c in one.row if c.isdigit()) or 0), one.row))
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *(_line(_cells(one)) for one in ordered)]
    sums = totals(results)
    told = (sums["events"], sums["faults"], sums["kills"], sums["lost"], sums["duplicated"], sums["repeats_on_topic"])
    lines.append(_line(["", f"**all {sums['rows']} rows**", *(f"**{number:,}**" for number in told), "", ""]))
    troubles = [f"- {one.row}: {trouble}" for one in ordered for trouble in _troubles(one)]
    return "\n".join([*lines, *(["", *troubles] if troubles else [])]) + "\n"


def _cells(one: Result) -> list[str]:
    if one.ending is Ending.NOT_RUN:
        return [one.row, one.title, *[""] * (len(_COLUMNS) - 3), f"not run: {one.why}"]
    numbers = [one.counts.get("events"), one.faults, one.kills]
    numbers += [one.counts.get(name) for name in ("lost", "duplicated", "repeats_on_topic")]
    shown = ["" if number is None else f"{number:,}" for number in numbers]
    return [one.row, one.title, *shown, _recovery(one.counts), one.ending.value]


def _recovery(counts: Mapping[str, Any]) -> str:
    """The longest of the row's recoveries: seconds from a heal to the next assignment."""
    seconds = [one["seconds"] for one in counts.get("recovery_seconds", ()) if one["seconds"] is not None]
    return f"{max(seconds):.1f}" if seconds else ""


def _troubles(one: Result) -> list[str]:
    if one.ending is Ending.NOT_RUN:
        return []
    said = [one.why] if one.why else []
    return said + [f"{v['invariant']} {v['category']} {v['what']}: {v['detail']}" for v in one.violations[:10]]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
