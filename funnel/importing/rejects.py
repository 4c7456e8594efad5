"""The rejects file: rows that were not imported, with line, column and reason behind their own columns.

It has the form of the imported file, so that it can be repaired and imported with the same mapping.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from funnel.importing.rows import Rejection
from funnel.importing.sheet import BrokenRow

ADDED_COLUMNS = ("import_line", "import_column", "import_reason", "import_text")
"""`import_text` holds a row whose cells could not be told apart. Its own columns stay empty, so that importing
it again unrepaired rejects it again."""


class RejectsFile:
    """Appends rejections; nothing is created before the first one."""

    def __init__(self, path: Path, *, header: Sequence[str], delimiter: str, encoding: str) -> None:
        self.path = path
        self._header = [*header, *(name for name in ADDED_COLUMNS if name not in header)]
        self._delimiter = delimiter
        self._encoding = encoding
        self._places = {name: self._header.index(name) for name in ADDED_COLUMNS}

    def begin(self, length: int) -> None:
        """Keep the first `length` bytes of what an interrupted import wrote; 0 removes the file."""
        if length == 0:
            self.path.unlink(missing_ok=True)
        elif self.path.exists() and self.path.stat().st_size > length:
            with self.path.open("r+b") as file:
                file.truncate(length)

    def add(self, rejections: Iterable[Rejection]) -> int:
        """Append the rejections; returns the length of the file in bytes."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._delimiter, lineterminator="\r\n")
        rows = [self._cells(rejection) for rejection in rejections]
        size = self.path.stat().st_size if self.path.exists() else 0
        if not rows:
            return size
        writer.writerows([self._header, *rows] if size == 0 else rows)
        # utf-8-sig would put its mark before every append; a spreadsheet wants one at the beginning.
        encoding = "utf-8" if self._encoding.startswith("utf-8") else self._encoding
        mark = "\ufeff" if size == 0 and encoding == "utf-8" else ""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write((mark + text.getvalue()).encode(encoding, errors="surrogateescape"))
            return file.tell()

    def _cells(self, rejection: Rejection) -> list[str]:
        row = rejection.row
        added = {
            "import_line": str(row.line),
            "import_column": rejection.column or "",
            "import_reason": rejection.reason,
        }
        given: tuple[str, ...] = ()
        if isinstance(row, BrokenRow):
            added["import_text"] = row.text
        else:
            given = row.cells
        cells = [*given, *[""] * (len(self._header) - len(given))]
        for name, text in added.items():
            cells[self._places[name]] = text
        return cells
