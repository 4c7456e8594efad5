"""What the columns of a spreadsheet export mean: the mapping file of `funnel import`, read and checked."""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from funnel.errors import FunnelError
from funnel.importing.cells import CellError, Reading, check_date_format, convert
from funnel.importing.fields import CellType, Kind, UnknownFieldError, type_of
from funnel.yaml_lines import Document, PlainYamlError, parse

Mode = Literal["live", "history"]
RESERVED_NAMES = frozenset({"ingest", "scoring", "routing", "metrics"})
"""Sources of our own services' records; ingest takes them from nobody."""

ENCODINGS = ("utf-8", "utf-8-sig", "cp932")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A source id: it stands in a URL and in record headers."""


class MappingError(FunnelError):
    """The mapping file cannot be used; each of `problems` names the file, the line and the key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Target:
    """A field of the posted body, as a path of member names, and the type of its value."""

    path: tuple[str, ...]
    type: CellType


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the file: the fields it fills, replacements for its texts, how its texts are read."""

    name: str
    targets: tuple[Target, ...]
    values: Mapping[str, str | None]
    reading: Reading


@dataclass(frozen=True, slots=True)
class ImportMapping:
    """A checked mapping. `name` is the source of every event; `constants` are ready values by path."""

    name: str
    kind: Kind
    mode: Mode
    delimiter: str
    encoding: str
    zone: ZoneInfo
    id_columns: tuple[str, ...]
    empty: frozenset[str]
    constants: tuple[tuple[tuple[str, ...], object], ...]
    columns: tuple[Column, ...]
    digest: str
    """Changes whenever the same row could become another body, or go elsewhere."""

    @property
    def column_names(self) -> tuple[str, ...]:
        """Every column the file must have, in the mapping's order."""
        return tuple(dict.fromkeys((*self.id_columns, *(column.name for column in self.columns))))

    @property
    def dated(self) -> bool:
        """Whether `occurred_at` is filled from the file."""
        return any(target.path == ("occurred_at",) for column in self.columns for target in column.targets)


_Text = Annotated[str, Field(min_length=1)]
_OneOrMore = Annotated[list[_Text], Field(min_length=1)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ColumnShape(_Shape):
    to: _Text | _OneOrMore
    type: Literal["text", "integer", "number", "boolean", "time"] | None = Field(default=None, alias="as")
    values: dict[str, str | None] = Field(default_factory=dict, alias="map")
    dates: _OneOrMore | None = None


class _MappingShape(_Shape):
    name: _Text
    kind: Kind
    mode: Mode = "live"
    delimiter: _Text = ","
    encoding: str = "utf-8"
    timezone: str | None = None
    dates: _OneOrMore = ["iso"]
    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", " ", "'"] | None = None
    id: _Text | _OneOrMore
    empty: list[str] = []
    constants: dict[str, str] = {}
    columns: dict[str, _Text | _OneOrMore | _ColumnShape] = Field(min_length=1)


def load(path: Path, *, timezone: str, mode: Mode | None = None) -> ImportMapping:
    """Read and check the mapping file at `path`.

    `timezone` is the organisation's, used where the mapping names none; `mode` overrides the mapping's.
    Raises MappingError.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise MappingError([f"{path}: a mapping file is UTF-8; byte {error.start} is not"]) from error
    except OSError as error:
        raise MappingError([f"{path}: {error.strerror or error}"]) from error
    return read(text, name=str(path), timezone=timezone, mode=mode)


def read(text: str, *, name: str, timezone: str, mode: Mode | None = None) -> ImportMapping:
    """Check the text of a mapping file called `name`. Raises MappingError with everything that is wrong."""
    try:
        document = parse(text)
    except PlainYamlError as problem:
        raise MappingError([f"{name}:{problem.line}: {problem.reason}"]) from problem
    return _Reader(name, document).mapping(timezone, mode)


class _Reader:
    """Collects every problem of one document, each with its line, before it gives up."""

    def __init__(self, name: str, document: Document) -> None:
        self._name = name
        self._document = document
        self._problems: dict[str, None] = {}

    def mapping(self, timezone: str, mode: Mode | None) -> ImportMapping:
        shape = self._shape()
        zone = self._zone(shape, timezone)
        self._check_file(shape)
        reading = Reading(tuple(shape.dates), zone, shape.decimal, shape.thousands)
        self._check_dates(shape.dates, ("dates",))
        columns = tuple(self._columns(shape, reading))
        constants = tuple(self._constants(shape, reading))
        paths = [(("columns", column.name), target.path) for column in columns for target in column.targets]
        paths += [(("constants", ".".join(path)), path) for path, _ in constants]
        self._check_paths(paths)
        chosen = mode or shape.mode
        self._raise_if_any()  # a misspelt field would be missed below, too
        self._check_meaning(chosen, {".".join(path) for _, path in paths})
        self._raise_if_any()
        return ImportMapping(
            name=shape.name,
            kind=shape.kind,
            mode=chosen,
            delimiter=shape.delimiter,
            encoding=shape.encoding,
            zone=zone,
            id_columns=(shape.id,) if isinstance(shape.id, str) else tuple(shape.id),
            empty=frozenset(marker.strip() for marker in shape.empty) | {""},
            constants=constants,
            columns=columns,
            digest=_digest(shape.model_dump_json(), zone.key, chosen),
        )

    def _shape(self) -> _MappingShape:
        if not isinstance(self._document.value, dict):
            raise MappingError([f"{self._name}:1: a mapping file is a list of 'key: value' lines"])
        try:
            return _MappingShape.model_validate(self._document.value)
        except ValidationError as error:
            for one in error.errors():
                self._add(_keys_of(one["loc"]), _sentence(one["type"], one["msg"]))
            self._raise_if_any()
            raise

    def _zone(self, shape: _MappingShape, timezone: str) -> ZoneInfo:
        try:
            return ZoneInfo(shape.timezone or timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            where = ("timezone",) if shape.timezone else ()
            what = "" if shape.timezone else " (from FUNNEL_TIMEZONE)"
            self._add(where, f"there is no time zone {shape.timezone or timezone!r}{what}; one is Asia/Tokyo")
            return ZoneInfo("UTC")

    def _check_file(self, shape: _MappingShape) -> None:
        if not _NAME.fullmatch(shape.name):
            self._add(("name",), "a name begins with a letter or digit; at most 64 of these, '.', '_' and '-'")
        if shape.name in RESERVED_NAMES:
            self._add(("name",), f"{shape.name!r} is a source of the funnel itself; choose another name")
        if len(shape.delimiter) != 1 or shape.delimiter in '"\r\n':
            self._add(("delimiter",), 'a delimiter is one character, no quote or line end; write "\\t" for a tab')
        if shape.encoding not in ENCODINGS:
            self._add(("encoding",), f"{_known_encoding(shape.encoding)}; use one of {', '.join(ENCODINGS)}")
        if shape.thousands == shape.decimal:
            self._add(("thousands",), "the thousands mark and the decimal mark must differ")

    def _columns(self, shape: _MappingShape, reading: Reading) -> Iterator[Column]:
        for name, given in shape.columns.items():
            spec = given if isinstance(given, _ColumnShape) else _ColumnShape(to=given)
            if spec.dates is not None:
                self._check_dates(spec.dates, ("columns", name, "dates"))
            own = reading if spec.dates is None else reading.with_dates(spec.dates)
            paths = [spec.to] if isinstance(spec.to, str) else spec.to
            targets = (self._target(shape.kind, path, spec.type, ("columns", name)) for path in paths)
            values = {text.strip(): value for text, value in spec.values.items()}
            yield Column(name, tuple(target for target in targets if target), values, own)

    def _constants(self, shape: _MappingShape, reading: Reading) -> Iterator[tuple[tuple[str, ...], object]]:
        for path, text in shape.constants.items():
            target = self._target(shape.kind, path, None, ("constants", path))
            if target is None:
                continue
            try:
                yield target.path, convert(text, target.type, reading)
            except CellError as problem:
                self._add(("constants", path), str(problem))

    def _target(self, kind: Kind, path: str, wanted: str | None, where: tuple[str, ...]) -> Target | None:
        try:
            fixed = type_of(kind, path)
        except UnknownFieldError as problem:
            self._add(where, str(problem))
            return None
        chosen = fixed or CellType(wanted or "text")
        if fixed is not None and wanted not in (None, fixed):
            self._add(where, f"{path} is always {fixed}, not {wanted}")
        return Target(tuple(path.split(".")), chosen)

    def _check_dates(self, formats: Sequence[str], where: tuple[str, ...]) -> None:
        for each in formats:
            reason = check_date_format(each)
            if reason:
                self._add(where, reason)

    def _check_paths(self, given: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
        taken: dict[tuple[str, ...], str] = {}
        for where, path in given:
            for other, first in taken.items():
                if path[: len(other)] == other or other[: len(path)] == path:
                    self._add(where, f"{'.'.join(path)} is filled by {first!r} already")
            taken[path] = where[1]

    def _check_meaning(self, mode: Mode, paths: set[str]) -> None:
        if "type" not in paths:
            self._add((), "nothing gives the type; add it under 'constants' or map a column to it")
        if "lead_id" not in paths and not any(path.startswith("identity.") for path in paths):
            self._add((), "no column gives an identifier (identity.email, identity.external_ids.NAME ...)")
        if mode == "history" and "occurred_at" not in paths:
            self._add((), "history needs the date of each row: map a column to occurred_at")
        if "amount.value" in paths and "amount.currency" not in paths:
            self._add((), "amount.value needs amount.currency, as a column or under 'constants'")

    def _add(self, keys: Sequence[str | int], reason: str) -> None:
        place = f"{self._name}:{self._document.line_of(keys)}"
        key = ".".join(str(part) for part in keys)
        self._problems[f"{place}: {key}: {reason}" if key else f"{place}: {reason}"] = None

    def _raise_if_any(self) -> None:
        if self._problems:
            raise MappingError(tuple(self._problems))


def _keys_of(location: Sequence[str | int]) -> list[str | int]:
    """The keys of a pydantic location, without the names of union members it puts between them."""
    if location[:1] == ("columns",):
        return [part for i, part in enumerate(location) if i < 2 or part in _COLUMN_KEYS]
    return list(location[:1])


_COLUMN_KEYS = ("to", "as", "map", "dates")


def _sentence(kind: str, message: str) -> str:
    if kind == "missing":
        return "this key is missing"
    if kind == "extra_forbidden":
        return "there is no such key in a mapping"
    return message[:1].lower() + message[1:]


def _known_encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        return f"there is no encoding {name!r}"
    return f"{name!r} is not read here"


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()
