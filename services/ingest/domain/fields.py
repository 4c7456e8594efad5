"""Readers: each takes one JSON value and returns what is kept of it, or says where it is unfit and why.

They compose: `record({"email": email})` reads an object whose other fields are kept as they are. The faults of all
fields are collected, each with the JSON pointer (RFC 6901) of its field. No message repeats a value: it may be
personal data.

Each also says its rule as a type of msgspec, so that a good value can be checked while it is decoded, at the speed of
C. The type may refuse what the reader takes (the value is then read), and leaves to `settle` what it cannot say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from services.ingest.domain import limits

Read = Callable[[Any], Any]
"""Returns the value to keep of a decoded one; raises Unfit."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How one value is read. Called with a decoded JSON value it returns what to keep, or raises Unfit.

    Of a value that was decoded as `type`, `settle` returns what to keep, and raises Unfit where `read` would; None
    keeps it as it is. `absent` stands in a struct for a field that was not given; its JSON is left out. A text without
    a visible character fits `type` but is not given: whoever decodes looks for that himself, once for all fields.
    """

    read: Read
    type: Any
    absent: Literal[""] | None = None
    settle: Read | None = None

    def __call__(self, value: Any) -> Any:
        return self.read(value)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the field at `pointer` ("" is the whole value), as one sentence without its subject."""

    pointer: str
    detail: str

    def under(self, name: str | int) -> Fault:
        """The same fault, seen from the object or array that holds the value as `name`."""
        token = str(name).replace("~", "~0").replace("/", "~1")
        return Fault(f"/{token}{self.pointer}", self.detail)


class Unfit(Exception):
    """The value cannot be accepted, for each reason in `faults`."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer or '/'} {fault.detail}" for fault in self.faults))


def unfit(detail: str) -> Unfit:
    """The value as a whole is unfit."""
    return Unfit([Fault("", detail)])


def is_absent(value: Any) -> bool:
    """Whether `value` means that the field was not given: null, or text without a visible character."""
    return value is None or (value.__class__ is str and (not value or value.isspace()))


def record(readers: Mapping[str, Reader], name: str = "Record") -> Reader:
    """An object. Fields named in `readers` are read, or dropped when absent; all others are kept as they are.

    Its type is a struct called `name` that has the fields in alphabetical order and knows no others.
    """
    reads = {field: reader.read for field, reader in readers.items()}

    def read(value: Any) -> dict[str, Any]:
        if value.__class__ is not dict:
            raise unfit("must be an object")
        kept: dict[str, Any] = {}
        faults: list[Fault] = []
        for field, item in value.items():
            read_field = reads.get(field)
            if read_field is None:
                kept[field] = item
            elif item is not None and (item.__class__ is not str or (item and not item.isspace())):
                try:  # the line above is is_absent, without a call for each field of each event
                    kept[field] = read_field(item)
                except Unfit as found:
                    faults += (fault.under(field) for fault in found.faults)
        if faults:
            raise Unfit(faults)
        return kept

    return Reader(read, _struct(name, readers), settle=_settle_fields(readers))


def _struct(name: str, readers: Mapping[str, Reader]) -> type[msgspec.Struct]:
    fields = [
        (field, reader.type if reader.absent == "" else reader.type | None, reader.absent)
        for field, reader in sorted(readers.items())
    ]
    return msgspec.defstruct(name, fields, omit_defaults=True, forbid_unknown_fields=True, gc=False, kw_only=True)


def _settle_fields(readers: Mapping[str, Reader]) -> Read | None:
    settles = [(field, reader.settle) for field, reader in sorted(readers.items()) if reader.settle is not None]

    def settle(struct: Any) -> Any:
        for field, settle_field in settles:
            value = getattr(struct, field)
            if value and (settled := settle_field(value)) is not value:
                setattr(struct, field, settled)
        return struct

    return settle if settles else None


def mapping(read_name: Reader, read_item: Reader, most: int) -> Reader:
    """An object of at most `most` entries whose names and values are data; absent values are dropped."""

    def read(value: Any) -> dict[str, Any]:
        if value.__class__ is not dict:
            raise unfit("must be an object")
        if len(value) > most:
            raise unfit(f"must have at most {most} entries")
        kept: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, item in value.items():
            if is_absent(item):
                continue
            try:
                kept[read_name.read(name)] = read_item.read(item)
            except Unfit as found:
                faults += (fault.under(name) for fault in found.faults)
        if faults:
            raise Unfit(faults)
        return kept

    settle_name = read_name.settle or read_name.read

    def settle(value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            settle_name(name)
        return value

    items: Any = Annotated[read_item.type, Meta(min_length=1)]
    type_: Any = Annotated[dict.__class_getitem__((read_name.type, items)), Meta(max_length=most)]
    return Reader(read, type_, settle=settle if read_name.settle else None)


def sequence(read_item: Reader, most: int) -> Reader:
    """An array of at most `most` texts; absent items are dropped."""

    def read(value: Any) -> list[Any]:
        if value.__class__ is not list:
            raise unfit("must be an array")
        if len(value) > most:
            raise unfit(f"must have at most {most} items")
        kept: list[Any] = []
        faults: list[Fault] = []
        for index, item in enumerate(value):
            try:
                if not is_absent(item):
                    kept.append(read_item.read(item))
            except Unfit as found:
                faults += (fault.under(index) for fault in found.faults)
        if faults:
            raise Unfit(faults)
        return kept

    items: Any = Annotated[read_item.type, Meta(min_length=1)]
    type_: Any = Annotated[list.__class_getitem__(items), Meta(max_length=most)]
    return Reader(read, type_)


def text(most: int | None = None) -> Reader:
    """A string of at most `most` characters; without `most`, whatever fits into an event."""

    def read(value: Any) -> Any:
        if value.__class__ is not str:
            raise unfit("must be a string")
        if most is not None and len(value) > most:
            raise unfit(f"must have at most {most} characters")
        return value

    return Reader(read, str if most is None else Annotated[str, Meta(max_length=most)], absent="")


def pattern(expression: str, most: int, detail: str) -> Reader:
    """A string that matches `expression` as a whole; `detail` says in words what it must be."""
    string, match = text(most), re.compile(expression).fullmatch

    def settle(value: Any) -> Any:
        if match(value) is None:
            raise unfit(detail)
        return value

    def read(value: Any) -> Any:
        return settle(string.read(value))

    # A pattern in the type would cost ten times as much. The names of types and systems come again and again.
    return Reader(read, string.type, absent="", settle=lru_cache(maxsize=1024)(settle))


def one_of(*names: str) -> Reader:
    """One of the given strings."""
    allowed = frozenset(names)
    detail = f"must be one of {', '.join(names)}"

    def read(value: Any) -> Any:
        if value.__class__ is not str or value not in allowed:
            raise unfit(detail)
        return value

    return Reader(read, Literal[names])


def integer(least: int, most: int) -> Reader:
    """A whole number from `least` to `most`, written without a fraction."""

    def read(value: Any) -> Any:
        if value.__class__ is not int or not least <= value <= most:
            raise unfit(f"must be a whole number from {least} to {most}")
        return value

    return Reader(read, Annotated[int, Meta(ge=least, le=most)])


def _read_boolean(value: Any) -> Any:
    if value.__class__ is not bool:
        raise unfit("must be true or false")
    return value


boolean: Final = Reader(_read_boolean, bool)
"""True or false."""


def _read_anything(value: Any) -> Any:
    if value.__class__ is not dict:
        raise unfit("must be an object")
    return value


anything: Final = Reader(_read_anything, dict[str, Any])
"""An object of the client's own, kept as it is."""


def _read_moment(value: Any) -> datetime:
    try:
        at = msgspec.convert(value, datetime) if value.__class__ is str else None
    except msgspec.ValidationError:
        at = None
    if at is None or at.tzinfo is None:
        raise unfit("must be a date and time with an offset, such as 2026-11-22T09:00:00Z")
    return _settle_moment(at)


def _settle_moment(at: datetime) -> datetime:
    if at < limits.EARLIEST:
        raise unfit(f"must not be before {limits.EARLIEST:%Y-%m-%d}")
    try:
        return at if at.tzinfo is UTC else at.astimezone(UTC)
    except OverflowError:
        raise unfit("must be before the year 10000") from None


moment: Final = Reader(_read_moment, Annotated[datetime, Meta(tz=True)], settle=_settle_moment)
"""A time with its offset from UTC, not before `limits.EARLIEST`; returned in UTC."""
