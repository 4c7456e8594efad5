"""Readers: each takes one JSON value and returns what is kept of it, or says where it is unfit and why.

They compose: `record({"email": email})` reads an object whose other fields are kept as they are. The faults of all
fields are collected, each with the JSON pointer (RFC 6901) of its field. No message repeats a value: it may be
personal data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.ingest.domain import limits

Reader = Callable[[Any], Any]
"""Returns the value to keep; raises Unfit."""


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


def record(readers: Mapping[str, Reader]) -> Reader:
    """An object. Fields named in `readers` are read, or dropped when absent; all others are kept as they are."""

    def read(value: Any) -> dict[str, Any]:
        if value.__class__ is not dict:
            raise unfit("must be an object")
        kept: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, item in value.items():
            reader = readers.get(name)
            if reader is None:
                kept[name] = item
            elif item is not None and (item.__class__ is not str or (item and not item.isspace())):
                try:  # the line above is is_absent, without a call for each field of each event
                    kept[name] = reader(item)
                except Unfit as found:
                    faults += (fault.under(name) for fault in found.faults)
        if faults:
            raise Unfit(faults)
        return kept

    return read


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
                kept[read_name(name)] = read_item(item)
            except Unfit as found:
                faults += (fault.under(name) for fault in found.faults)
        if faults:
            raise Unfit(faults)
        return kept

    return read


def sequence(read_item: Reader, most: int) -> Reader:
    """An array of at most `most` items; absent items are dropped."""

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
                    kept.append(read_item(item))
            except Unfit as found:
                faults += (fault.under(index) for fault in found.faults)
        if faults:
            raise Unfit(faults)
        return kept

    return read


def text(most: int = limits.EVENT_BYTES_MAX) -> Reader:
    """A string of at most `most` characters; without `most`, whatever fits into an event."""

    def read(value: Any) -> Any:
        if value.__class__ is not str:
            raise unfit("must be a string")
        if len(value) > most:
            raise unfit(f"must have at most {most} characters")
        return value

    return read


def pattern(expression: str, most: int, detail: str) -> Reader:
    """A string that matches `expression` as a whole; `detail` says in words what it must be."""
    read_text, match = text(most), re.compile(expression).fullmatch

    def read(value: Any) -> Any:
        if match(read_text(value)) is None:
            raise unfit(detail)
        return value

    return read


def one_of(*names: str) -> Reader:
    """One of the given strings."""
    allowed = frozenset(names)
    detail = f"must be one of {', '.join(names)}"

    def read(value: Any) -> Any:
        if value.__class__ is not str or value not in allowed:
            raise unfit(detail)
        return value

    return read


def integer(least: int, most: int) -> Reader:
    """A whole number from `least` to `most`, written without a fraction."""

    def read(value: Any) -> Any:
        if value.__class__ is not int or not least <= value <= most:
            raise unfit(f"must be a whole number from {least} to {most}")
        return value

    return read


def boolean(value: Any) -> Any:
    """True or false."""
    if value.__class__ is not bool:
        raise unfit("must be true or false")
    return value


def anything(value: Any) -> Any:
    """An object of the client's own, kept as it is."""
    if value.__class__ is not dict:
        raise unfit("must be an object")
    return value


def moment(value: Any) -> datetime:
    """A time with its offset from UTC, not before `limits.EARLIEST`; returned in UTC."""
    try:
        at = msgspec.convert(value, datetime) if value.__class__ is str else None
    except msgspec.ValidationError:
        at = None
    if at is None or at.tzinfo is None:
        raise unfit("must be a date and time with an offset, such as 2026-11-22T09:00:00Z")
    if at < limits.EARLIEST:
        raise unfit(f"must not be before {limits.EARLIEST:%Y-%m-%d}")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise unfit("must be before the year 10000") from None
