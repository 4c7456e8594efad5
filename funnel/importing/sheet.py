"""Reading a delimited spreadsheet export row by row, with the line each row begins on.

Lines are counted as an editor counts them: a quoted cell may span several, and a row has the number of its
first. A quote that is never closed would swallow the rest of the file; here it costs its own line only.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from funnel.errors import FunnelError

_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class SheetError(FunnelError):
    """The file as a whole cannot be read with this mapping."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row; `line` is the first line it stands on, counted from 1."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row whose cells cannot be told apart for certain; `text` is what stands in the file."""

    line: int
    text: str
    reason: str


class Sheet:
    """The header, read at once, and the rows after it."""

    def __init__(self, lines: Iterable[str], delimiter: str) -> None:
        """`lines` keep their line ends. Raises SheetError when there is no usable header."""
        self._records = _records(lines, delimiter)
        record, _ = next(self._records, (None, ""))
        if record is None:
            raise SheetError("the file has no rows")
        if isinstance(record, BrokenRow):
            raise SheetError(f"line {record.line}, the header, {record.reason}")
        self.header: tuple[str, ...] = tuple(cell.strip() for cell in record.cells)

    def __iter__(self) -> Iterator[Row | BrokenRow]:
        """The rows in file order; empty lines and rows of nothing but delimiters are left out."""
        width = len(self.header)
        for record, text in self._records:
            if isinstance(record, Row) and len(record.cells) != width:
                reason = f"has {_counted(len(record.cells))} where the header has {width}"
                yield BrokenRow(record.line, text, reason)
            else:
                yield record


def open_sheet(path: Path, encoding: str) -> TextIO:
    """The file as text; bytes that are not of this encoding are kept aside and found again in their cell.

    A byte order mark is left out whether `encoding` is utf-8 or utf-8-sig. Raises SheetError.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise SheetError(f"{path}: {error.strerror or error}") from error
    try:
        return io.TextIOWrapper(
            file, encoding=_real_encoding(path, file, encoding), errors="surrogateescape", newline=""
        )
    except BaseException:
        file.close()
        raise


def _real_encoding(path: Path, file: BinaryIO, encoding: str) -> str:
    start = file.read(3)
    file.seek(0)
    found = next((name for mark, name in _BYTE_ORDER_MARKS if start.startswith(mark)), None)
    utf8 = encoding in ("utf-8", "utf-8-sig")
    if found is not None and not (utf8 and found == "utf-8-sig"):
        kind = "UTF-8 with a byte order mark" if found == "utf-8-sig" else "UTF-16"
        advice = "say encoding: utf-8-sig" if found == "utf-8-sig" else "save it as CSV UTF-8"
        raise SheetError(f"{path}: the file is {kind}, but the mapping says {encoding}; {advice}")
    return "utf-8-sig" if utf8 else encoding


def _records(lines: Iterable[str], delimiter: str) -> Iterator[tuple[Row | BrokenRow, str]]:
    """Every record that is not blank, with its text."""
    source = _Lines(lines)
    while True:
        source.begin()
        line = source.taken + 1
        # A reader per record: after an error its place in the lines is ours to choose.
        reader = csv.reader(source, delimiter=delimiter, strict=True)
        try:
            cells = tuple(next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            source.give_back_all_but_first()
            yield BrokenRow(line, source.text, _reason(str(error))), source.text
            continue
        if any(cell.strip() for cell in cells):
            yield Row(line, cells), source.text


class _Lines:
    """An iterator over lines that can give back those of the record in hand."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._next: Callable[[], str] = iter(lines).__next__
        self._waiting: deque[str] = deque()
        self._record: list[str] = []
        self.taken = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else self._next()
        self._record.append(line)
        self.taken += 1
        return line

    def begin(self) -> None:
        self._record = []

    def give_back_all_but_first(self) -> None:
        self._waiting.extendleft(reversed(self._record[1:]))
        self.taken -= len(self._record) - 1
        del self._record[1:]

    @property
    def text(self) -> str:
        """The record in hand, without its line end."""
        return "".join(self._record).rstrip("\r\n")


def _reason(error: str) -> str:
    if "unexpected end of data" in error or "field limit" in error:
        return "opens a quote that is never closed"
    if "expected after" in error:
        return "has text behind a closing quote; a quote inside a cell is written twice"
    return f"cannot be read as cells: {error}"


def _counted(cells: int) -> str:
    return "1 cell" if cells == 1 else f"{cells} cells"
