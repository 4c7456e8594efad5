"""From a row to the body that is posted for it: pure, so that the same row always gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from funnel.importing.cells import CellError, check_identifier, clean, convert
from funnel.importing.fields import CellType
from funnel.importing.mapping import Column, ImportMapping
from funnel.importing.sheet import BrokenRow, Row, Sheet, SheetError

MAX_EVENT_ID = 128
MAX_EVENT_BYTES = 65_536
"""Ingest's own limits; checked here so that a dry run knows them."""

_LEAD_KEYS = ("lead_id", "identity")


@dataclass(frozen=True, slots=True)
class Item:
    """What is posted for one row; `encoded` is the body as JSON, the same bytes for every attempt."""

    row: Row
    event_id: str
    body: Mapping[str, Any]
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is not posted, or that ingest refused; `column` is None when the whole row is at fault."""

    row: Row | BrokenRow
    column: str | None
    reason: str

    def __str__(self) -> str:
        where = f"line {self.row.line}"
        return f"{where}, {self.column}: {self.reason}" if self.column else f"{where}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Repeat:
    """A row that says the same as an earlier one under the same id; there is nothing to post for it."""

    row: Row


class Converter:
    """Makes items of the rows of one file; built once, as column places are looked up in the header."""

    def __init__(self, mapping: ImportMapping, header: Sequence[str]) -> None:
        """Raises SheetError naming the columns that the mapping needs and the file lacks, or has twice."""
        self._mapping = mapping
        self._places = _places(mapping.column_names, header)
        self._id_places = tuple(self._places[name] for name in mapping.id_columns)
        self._columns = tuple((self._places[column.name], column) for column in mapping.columns)

    @property
    def id_column(self) -> str:
        """The (first) column of the row's own id."""
        return self._mapping.id_columns[0]

    def convert(self, row: Row | BrokenRow) -> Item | Rejection:
        """The item of a row, or the first reason why there is none."""
        if isinstance(row, BrokenRow):
            return Rejection(row, None, row.reason)
        try:
            event_id = self._event_id(row)
            body = self._body(row)
        except _RowError as problem:
            return Rejection(row, problem.column, problem.reason)
        body["event_id"] = event_id
        encoded = msgspec.json.encode(body)
        if len(encoded) > MAX_EVENT_BYTES:
            return Rejection(row, None, f"makes an event of {len(encoded)} bytes; ingest takes {MAX_EVENT_BYTES}")
        return Item(row, event_id, body, encoded)

    def refused(self, item: Item, detail: str) -> Rejection:
        """The rejection of an item that ingest refused, with the column that fills the field it named."""
        words = detail.replace("/", ".")
        for column in self._mapping.columns:
            for target in column.targets:
                path = re.escape(".".join(target.path))
                if re.search(rf"(?<!\w){path}(?!\.?\w)", words):
                    return Rejection(item.row, column.name, detail)
        return Rejection(item.row, None, detail)

    def _event_id(self, row: Row) -> str:
        parts = []
        for name, place in zip(self._mapping.id_columns, self._id_places, strict=True):
            if row.cells[place].strip() in self._mapping.empty:
                raise _RowError(name, "is empty, but the row needs an id of its own")
            parts.append(_identifier(name, row.cells[place]))
        event_id = ":".join(parts)
        if len(event_id) > MAX_EVENT_ID:
            raise _RowError(name, f"makes an id of {len(event_id)} characters; it may have {MAX_EVENT_ID}")
        return event_id

    def _body(self, row: Row) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for path, value in self._mapping.constants:
            _put(body, path, value)
        for place, column in self._columns:
            self._fill(body, column, row.cells[place])
        if "amount" in body and "value" not in body["amount"]:
            del body["amount"]  # a currency without a number says nothing
        self._check(body)
        return body

    def _fill(self, body: dict[str, Any], column: Column, cell: str) -> None:
        text = cell.strip()
        text = column.values.get(text, text) or ""
        if text in self._mapping.empty:
            return
        try:
            text = clean(text)
            for target in column.targets:
                if target.path[0] in _LEAD_KEYS:
                    check_identifier(text)
                _put(body, target.path, convert(text, target.type, column.reading))
        except CellError as problem:
            raise _RowError(column.name, str(problem)) from problem

    def _check(self, body: Mapping[str, Any]) -> None:
        """What no row may lack, whatever its columns are called."""
        if "type" not in body:
            raise _RowError(self._column_of("type"), "is empty, but the row needs a type")
        if self._mapping.dated and "occurred_at" not in body:
            raise _RowError(self._column_of("occurred_at"), "is empty, but the row needs its date")
        if not any(body.get(key) for key in _LEAD_KEYS):
            names = [column.name for column in self._mapping.columns if _identifies(column)]
            raise _RowError(None, f"has no identifier: {_joined(names)} empty")

    def _column_of(self, path: str) -> str | None:
        parts = tuple(path.split("."))
        for column in self._mapping.columns:
            if any(target.path == parts for target in column.targets):
                return column.name
        return None


Entry = Item | Repeat | Rejection
"""What becomes of one row."""


def entries(sheet: Sheet, converter: Converter) -> Iterator[Entry]:
    """What becomes of each row, in file order.

    An id that comes again with another content is rejected: downstream only one of the two could count.
    """
    seen: dict[str, tuple[int, int]] = {}
    for row in sheet:
        entry = converter.convert(row)
        if not isinstance(entry, Item):
            yield entry
            continue
        content = hash(entry.encoded)
        line, first = seen.setdefault(entry.event_id, (row.line, content))
        if line == row.line:
            yield entry
        elif first == content:
            yield Repeat(entry.row)
        else:
            yield Rejection(row, converter.id_column, f"has the id of line {line} but another content")


class _RowError(Exception):
    """The way out of the conversion of one row; never seen outside."""

    def __init__(self, column: str | None, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


def _places(names: Sequence[str], header: Sequence[str]) -> dict[str, int]:
    missing = [name for name in names if name not in header]
    if missing:
        has = ", ".join(name for name in header if name)
        raise SheetError(f"the file has no column {_quoted(missing)}; it has: {has}. Are delimiter and encoding right?")
    twice = [name for name in names if header.count(name) > 1]
    if twice:
        raise SheetError(f"the file has the column {_quoted(twice)} more than once; rename one of them")
    return {name: header.index(name) for name in names}


def _identifier(column: str, cell: str) -> str:
    try:
        text = clean(cell)
        check_identifier(text)
    except CellError as problem:
        raise _RowError(column, str(problem)) from problem
    return text


def _put(body: dict[str, Any], path: Sequence[str], value: object) -> None:
    *parents, last = path
    for name in parents:
        body = body.setdefault(name, {})
    body[last] = value


def _identifies(column: Column) -> bool:
    return any(target.path[0] in _LEAD_KEYS and target.type is CellType.TEXT for target in column.targets)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _joined(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'}"
