"""Reads a record's value by the schema its header names.

A record is either decoded, always to the same value, or refused for one of two reasons: `Poison`, it can
never be applied (quarantine it), or `UnknownVersion`, a newer build of ours wrote it (wait for the upgrade).

Values written by clients may hold what JSON allows and Postgres or a struct does not; each case is decided
here, once:

| in the record | result |
|---|---|
| no value, or bytes that are not JSON, not UTF-8, or hold a lone surrogate | Poison |
| the character U+0000, anywhere, which neither text nor jsonb can store | Poison |
| nesting deeper than `DEPTH_MAX`, a number Python cannot hold | Poison |
| a field of the wrong type, a required field missing, a time without an offset | Poison |
| the same key twice | the last one counts, as in Postgres |
| an unknown field | ignored |
| `""` or null in a schema that clients write | as if the field were absent |
| a time with another offset | the same instant in UTC |
| an older version of a schema | the newest, the fields that came later absent |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec

from funnel.contracts.catalogue import BODY_ALONE, CARRIED, EMPTY_IS_ABSENT, INSTANTS, STRUCTS
from funnel.errors import Poison, UnknownVersion

DEPTH_MAX: Final = 100
"""Brackets open at once. Far above any real event, far below Python's recursion limit: how much of that is
left depends on the caller, and the same bytes must have the same result everywhere."""

Reader = Callable[[bytes], Any]

_FREE_FORM: Final = frozenset({"properties"})
"""Fields whose content is the client's own: nothing in them is taken for absent."""

_NUL: Final = b"\\u0000"
_STRING_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Possessive, and an unfinished string runs to the end: linear in any bytes whatever."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_REASON_LENGTH_MAX: Final = 500
_DATASCHEMA: Final = re.compile(r"([a-z][a-z0-9_]*)\.v([1-9][0-9]{0,8})")


def decoder(topic: str) -> Callable[[bytes, str | None], Any]:
    """A function `decode(value, dataschema)` for the records of `topic` (its logical name).

    It returns the newest version's struct whatever version it reads. Without a dataschema the body is read alone
    where the topic's file allows it. The function raises Poison or UnknownVersion; this one raises KeyError for a
    topic that has no file.
    """
    readers: dict[str | None, Reader] = {name: _filling_in(name) for name in CARRIED[topic]}
    if topic in BODY_ALONE:
        readers[None] = readers[BODY_ALONE[topic]]

    def decode_record(value: bytes, dataschema: str | None) -> Any:
        reader = readers.get(dataschema)
        if reader is None:
            raise _refusal(dataschema, CARRIED[topic], f"{topic} carries {', '.join(CARRIED[topic])}")
        return reader(value)

    return decode_record


def decode(value: bytes, dataschema: str) -> Any:
    """The struct of that very version, whatever topic the record came from. Raises Poison or UnknownVersion."""
    reader = _READERS.get(dataschema)
    if reader is None:
        raise _refusal(dataschema, tuple(STRUCTS), "it is not one of ours")
    return reader(value)


def _refusal(dataschema: str | None, known: tuple[str, ...], otherwise: str) -> Poison | UnknownVersion:
    if dataschema is None:
        return _poison(f"no ce_dataschema header: {otherwise}")
    match = _DATASCHEMA.fullmatch(dataschema)
    name, version = (match[1], int(match[2])) if match else ("", 0)
    newest = max((_version(one) for one in known if one.startswith(f"{name}.v")), default=0)
    if newest and version > newest:
        return UnknownVersion(f"{dataschema} is newer than this build, which reads up to version {newest}")
    return _poison(f"ce_dataschema is {dataschema[:100]!r}: {otherwise}")


def _poison(reason: str, path: str | None = None) -> Poison:
    """The refusal, with a text that can itself be stored: field names come from the record too."""
    text = reason if path is None else f"{reason} - at `{path}`"
    text = text[:_REASON_LENGTH_MAX].replace("\0", "\\0")
    return Poison(_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text))


def _filling_in(dataschema: str) -> Reader:
    """The decoder of one schema that gives the struct of its newest version.

    An old record is read by its own rules first: what a later version has a rule for may be a field of the client's own
    in it, with any content.
    """
    read, name = _READERS[dataschema], dataschema.rpartition(".v")[0]
    newest = max((one for one in STRUCTS if one.startswith(f"{name}.v")), key=_version)
    if newest == dataschema:
        return read
    struct = STRUCTS[newest]
    return lambda value: msgspec.convert(read(value), struct, from_attributes=True)


def _version(dataschema: str) -> int:
    return int(dataschema.rpartition(".v")[2])


def _reader(dataschema: str) -> Reader:
    """The decoder of one schema, built once: msgspec keeps what it learned of the struct in it."""
    struct = STRUCTS[dataschema]
    times = _Times.of(INSTANTS[dataschema])
    empty_is_absent = dataschema in EMPTY_IS_ABSENT
    from_json = msgspec.json.Decoder(struct).decode

    def read(value: bytes) -> Any:
        refuse_unstorable(value)
        try:
            record = _read_sparse(value, struct) if empty_is_absent and b'""' in value else from_json(value)
        except msgspec.ValidationError as error:
            if not empty_is_absent or b"null" not in value:
                raise _poison(str(error)) from error
            record = _read_sparse(value, struct)
        except ValueError as error:
            raise _not_json(value, error) from error
        return _in_utc(record, times)

    return read


class _Times(NamedTuple):
    """Which fields of an object are times, and which are parts with times of their own."""

    names: tuple[str, ...]
    parts: tuple[tuple[str, _Times], ...]

    @classmethod
    def of(cls, paths: Iterable[str]) -> _Times:
        """From dotted paths."""
        names: list[str] = []
        parts: dict[str, list[str]] = {}
        for first, dot, rest in (path.partition(".") for path in paths):
            if dot:
                parts.setdefault(first, []).append(rest)
            else:
                names.append(first)
        return cls(tuple(names), tuple((name, cls.of(inner)) for name, inner in parts.items()))


def _in_utc(record: Any, times: _Times, path: str = "$") -> Any:
    moved: dict[str, Any] = {}
    for name in times.names:
        at: datetime | None = getattr(record, name)
        if at is not None and at.tzinfo is not UTC:
            try:
                moved[name] = at.astimezone(UTC)
            except OverflowError as error:
                raise _poison("time outside the years 1 to 9999", f"{path}.{name}") from error
    for name, inner in times.parts:
        part = getattr(record, name)
        if part is not None:
            in_utc = _in_utc(part, inner, f"{path}.{name}")
            if in_utc is not part:
                moved[name] = in_utc
    return msgspec.structs.replace(record, **moved) if moved else record


def _read_sparse(value: bytes, struct: type[msgspec.Struct]) -> Any:
    """Decode with `""` and null taken out. Slower, so only values that hold one come here."""
    try:
        return msgspec.convert(_without_empty(msgspec.json.decode(value)), struct)
    except msgspec.ValidationError as error:
        raise _poison(str(error)) from error
    except ValueError as error:
        raise _not_json(value, error) from error


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        key: part if key in _FREE_FORM else _without_empty(part)
        for key, part in value.items()
        if part is not None and part != ""
    }


def refuse_unstorable(value: bytes) -> None:
    """Raise Poison for what a decoder would let pass but could not be stored, or not everywhere alike."""
    if not value:
        raise _poison("the record has no value")
    if not value.isascii():
        _refuse_other_encodings(value)  # msgspec does not look into the texts of fields it skips
    if value.count(b"{") + value.count(b"[") > DEPTH_MAX and _depth(value) > DEPTH_MAX:
        raise _poison(f"nested deeper than {DEPTH_MAX} levels")
    if _NUL in value:
        path = next(_texts_where(lambda text: "\0" in text, _lenient(value)), None)
        if path is not None:
            raise _poison("the character U+0000 cannot be stored", path)


def _depth(value: bytes) -> int:
    deepest = depth = 0
    for token in _STRING_OR_BRACKET.finditer(value):
        if token[0] in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in (b"]", b"}"):
            depth -= 1
    return deepest


def _refuse_other_encodings(value: bytes) -> None:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise _poison(f"not UTF-8: {error.reason} at byte {error.start}") from error


def _not_json(value: bytes, error: ValueError) -> Poison:
    """Why bytes are not JSON. msgspec calls a lone surrogate truncated input, and names no field for it."""
    path = next(_texts_where(lambda text: bool(_SURROGATE.search(text)), _lenient(value)), None)
    if path is not None:
        return _poison("half of a surrogate pair is no character", path)
    return _poison(str(error))


def _lenient(value: bytes) -> Any:
    """What Python's own parser makes of it, which takes lone surrogates; None when that fails too."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _texts_where(unfit: Callable[[str], bool], value: Any, path: str = "$") -> Iterator[str]:
    """Paths of the texts in `value` that are `unfit`; a key belongs to the field it names."""
    if isinstance(value, str):
        if unfit(value):
            yield path
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _texts_where(unfit, key, f"{path}.{key}")
            yield from _texts_where(unfit, part, f"{path}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _texts_where(unfit, part, f"{path}[{index}]")


_READERS: Final = {dataschema: _reader(dataschema) for dataschema in STRUCTS}
