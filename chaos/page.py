"""docs/fault-matrix.md, made from the rows."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chaos.faults import Row

ROOT: Final = Path(__file__).parents[1]
PLACE: Final = "docs/fault-matrix.md"

NUMBERS: Final = range(1, 36)
"""The faults of the matrix."""

_HEAD: Final = """\
# The fault matrix

`make chaos` runs these rows one after the other on three Kafka brokers, a PostgreSQL primary with a synchronous
standby, and a TCP proxy before each of them. In each row the whole product runs under load, the fault happens and ends,
and then

* everything must come to rest by itself: nothing unread, nothing unpublished, nothing unaccounted;
* the checker (`chaos/checker`, which shares no code with the product) compares what clients were told, every record,
  every row and the product's own ledger. Nothing that was answered with 202 is lost; every effect happened once; a lead
  has one rep at most; a lead's records are in order; no position went back; work went on within 60 s.

The third column says what must hold beside that. `python -m chaos --only 14b` runs one row, `python -m chaos --matrix`
prints this page.

| # | fault | how it is made, and what must hold | code |
|---|---|---|---|
"""


def page(rows: Sequence[Row]) -> str:
    """The whole page."""
    lines = [(row.number, row.part, _line(row)) for row in rows]
    return _HEAD + "".join(f"{line}\n" for *_, line in sorted(lines))


def missing(rows: Sequence[Row]) -> list[int]:
    """The numbers that neither have a row nor a reason."""
    known = {row.number for row in rows}
    return [number for number in NUMBERS if number not in known]


def _line(row: Row) -> str:
    made = row.fault or row.program
    if made is None:
        return _cells(row.key, row.title, f"*not made here: {row.reason}*", "")
    told = inspect.getdoc(made) or ""
    place = Path(inspect.getfile(made)).relative_to(ROOT)
    return _cells(row.key, row.title, " ".join(told.split()), str(place))


def _cells(number: str, title: str, told: str, place: str) -> str:
    code = f"[{place}](../{place})" if place else ""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in (number, title, told, code))} |"
