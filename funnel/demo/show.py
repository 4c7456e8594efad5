"""The end of a demo on a terminal: who got which lead, the ledger, and what is wrong, if anything is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from funnel.demo.verdict import Ledger, Observed, Place

WIDTH = 100
"""Columns the tables are made for; a wider terminal leaves room at the right."""

_STYLE: Mapping[str, Any] = {
    "box": box.SIMPLE_HEAD,
    "title_justify": "left",
    "title_style": "bold",
    "width": WIDTH,
    "padding": (0, 1, 0, 0),
    "pad_edge": False,
}
_RARE = frozenset({"merged", "suppressed", "skipped", "spooled", "missing"})
"""Counts of the ledger that are shown only when they are not 0."""

_LATE = frozenset({"answered"})
"""Counts that ingest tells once a minute: a demo is over before they say anything."""

_HOLDS = {
    "all_at_capacity": "nobody has room",
    "all_inactive": "nobody is on duty",
    "all_rejected": "everybody gave it back",
    "no_reps": "the pool has no reps",
}
_RANK = {"assigned": 0, "held": 1, "closed": 2, "nurturing": 3}
_COLOURS = {"assigned": "green", "held": "yellow", "closed": "blue", "nurturing": "dim"}


def show(console: Console, places: Sequence[Place], observed: Observed, problems: Sequence[str]) -> None:
    """Print the tables and the verdict."""
    for table in (leads_table(places), ledger_table(observed.ledger)):
        table.width = min(WIDTH, console.width)
        console.print(table)
    if problems:
        console.print(Text("Not everything is as promised:", style="bold red"))
        for problem in problems:
            console.print(Text(f"  {problem}"), soft_wrap=True)
    else:
        console.print(Text(sentence(places), style="bold green"))


def leads_table(places: Sequence[Place]) -> Table:
    """One line per lead: the assigned first, by rep; then held, closed, and those nobody has to call yet."""
    table = Table(title="Who got which lead", **_STYLE)
    table.add_column("Lead", width=16, no_wrap=True)
    table.add_column("Company", width=20, no_wrap=True)
    table.add_column("Score", width=5, justify="right", no_wrap=True)
    table.add_column("mostly for", width=23, no_wrap=True)
    table.add_column("Rep, or why none", no_wrap=True)
    rows = sorted(places, key=lambda one: (_RANK.get(one.state, 9), one.pool or "", one.rep or "", -one.score))
    for before, one in zip([None, *rows], rows, strict=False):
        if before is not None and (before.state, before.rep) != (one.state, one.rep):
            table.add_section()
        table.add_row(
            Text(one.person.name),
            Text(one.person.company.name),
            Text(f"{one.score} {one.grade or '-'}"),
            Text(one.why_score, style="dim"),
            Text(_where(one), style=_COLOURS.get(one.state, "red")),
        )
    return table


def ledger_table(ledger: Ledger) -> Table:
    """The ledger, an account per line."""
    table = Table(title="The ledger", show_header=False, **_STYLE)
    table.add_column("account", style="cyan", width=11, no_wrap=True)
    table.add_column("counts")
    for part, counts in ledger.items():
        if isinstance(counts, Mapping):
            shown = (pair for pair in counts.items() if pair[0] not in _LATE and (pair[1] or pair[0] not in _RARE))
            line = Text(" · ").join(_count(name, number) for name, number in shown)
            table.add_row(escape(part), line)
    return table


def sentence(places: Sequence[Place]) -> str:
    """One line that says what came out."""
    states = Counter(place.state for place in places)
    moved = sum(place.handovers > 1 for place in places)
    told = ", ".join(f"{states[state]} {state}" for state in _RANK if states[state])
    return f"Everything is accounted for: {len(places)} leads, {told}; {moved} went to a second rep."


def as_json(seed: int, places: Sequence[Place], observed: Observed, problems: Sequence[str]) -> dict[str, Any]:
    """The same for programs. `qualified` is the same whenever the same seed is played."""
    return {
        "seed": seed,
        "problems": list(problems),
        "qualified": sorted(p.person.email for p in places if observed.scores[p.lead_id].qualified),
        "leads": [
            {
                "lead_id": place.lead_id,
                "email": place.person.email,
                "name": place.person.name,
                "company": place.person.company.name,
                "state": place.state,
                "stage": place.stage,
                "score": place.score,
                "grade": place.grade,
                "pool": place.pool,
                "rep": place.rep,
                "reason": place.reason,
                "handovers": place.handovers,
            }
            for place in places
        ],
        "ledger": observed.ledger,
    }


def _where(place: Place) -> str:
    if place.state == "assigned":
        return f"{place.rep}" + (f" ({_nth(place.handovers)} rep)" if place.handovers > 1 else "")
    if place.state == "held":
        return f"held: {_HOLDS.get(place.reason or '', place.reason)}"
    return f"{place.state}: {place.stage}"


def _nth(number: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(number, f"{number}th")


def _count(name: str, number: object) -> Text:
    wrong = name == "unaccounted" and number != 0
    return Text(f"{name.replace('_', ' ')} {number}", style="bold red" if wrong else "")
