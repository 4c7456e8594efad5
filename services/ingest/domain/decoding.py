"""From the bytes of a request to the JSON values in it, one item at a time: a bad item never spoils its neighbours.

The ordinary path is msgspec. It refuses some documents that are JSON by the grammar but cannot be stored: text with
half a surrogate pair, numbers beyond a double. Those are read once more with the standard library, only to say which
field it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from services.ingest.domain import limits
from services.ingest.domain.fields import Fault, Unfit, is_absent, moment, unfit


class NotJson(Exception):
    """The bytes are not a JSON document; the message says why."""


class TooManyItems(Exception):
    """More than limits.BATCH_ITEMS_MAX items in one request."""


class Batch(NamedTuple):
    """The items of a request, undecoded or already found unfit, and when its sender's clock said that it was sent."""

    items: list[bytes | Unfit]
    sent_at: datetime | None


class _OutOfRange:
    """Stands for a number that neither a double nor Postgres holds."""


def decoded(raw: bytes) -> Any:
    """The JSON value in `raw`, at most DEPTH_MAX deep, with at most FIELDS_MAX fields, free of text nobody can store.

    Raises NotJson, or Unfit naming the fields.
    """
    try:
        value = msgspec.json.decode(raw)
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        value = _decoded_leniently(raw)
        check_storable(value)
    if raw.count(b"{") + raw.count(b"[") > limits.DEPTH_MAX:
        _check_depth(value)
    if raw.count(b":") > limits.FIELDS_MAX and _fields_in(value) > limits.FIELDS_MAX:
        raise unfit(f"has more than {limits.FIELDS_MAX} fields")
    return value


def read_batch(raw: bytes, name: str) -> Batch | None:
    """What `{"<name>": [..], "sent_at": ".."}` holds; None when there is no field `name`.

    Raises NotJson, Unfit or TooManyItems.
    """
    try:
        found = _batch_decoder(name).decode(raw)
        raw_items, sent_at = getattr(found, name), found.sent_at
        if raw_items is None:
            return None
        items: list[bytes | Unfit] = list(map(bytes, raw_items))
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        document = _decoded_leniently(raw)
        if not isinstance(document, dict):
            raise unfit("must be an object") from None
        if name not in document:
            return None
        items, sent_at = _items_leniently(document[name], name), document.get("sent_at")
    if len(items) > limits.BATCH_ITEMS_MAX:
        raise TooManyItems
    return Batch(items, None if is_absent(sent_at) else _read_sent_at(sent_at))


@lru_cache
def _batch_decoder(name: str) -> msgspec.json.Decoder[Any]:
    """Takes a batch apart in one pass. Fields of others are skipped; null is no array."""
    fields = [(name, list[msgspec.Raw], None), ("sent_at", Any, None)]
    return msgspec.json.Decoder(msgspec.defstruct("Batch", fields, kw_only=True))


def _read_sent_at(value: Any) -> datetime:
    try:
        at: datetime = moment.read(value)
    except Unfit as found:
        raise Unfit(fault.under("sent_at") for fault in found.faults) from None
    return at


def lines(raw: bytes) -> list[bytes | Unfit]:
    """The lines of an NDJSON body that are not blank. Raises TooManyItems."""
    found: list[bytes | Unfit] = [line for line in raw.split(b"\n") if line and not line.isspace()]
    if len(found) > limits.BATCH_ITEMS_MAX:
        raise TooManyItems
    return found


def check_storable(value: Any) -> None:
    """Raise Unfit for each text with NUL or half a surrogate pair, and each number out of range, in `value`."""
    faults = tuple(islice(_unstorable(value), limits.FAULTS_MAX))
    if faults:
        raise Unfit(faults)


def _unstorable(value: Any) -> Iterator[Fault]:
    if isinstance(value, _OutOfRange):
        yield Fault("", "is a number out of range")
    elif isinstance(value, str):
        if "\0" in value:
            yield Fault("", "holds a NUL character")
        elif not _is_encodable(value):
            yield Fault("", "holds half of a surrogate pair, which is not text")
    elif isinstance(value, dict):
        for name, item in value.items():
            if "\0" in name or not _is_encodable(name):
                yield Fault("", "has a field whose name is not text")
            else:
                yield from (fault.under(name) for fault in _unstorable(item))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from (fault.under(index) for fault in _unstorable(item))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_depth(value: Any) -> None:
    level, depth = [value], 1
    while level:
        if depth > limits.DEPTH_MAX:
            raise _too_deep()
        children: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                children += item.values()
            elif isinstance(item, list):
                children += item
        level, depth = [item for item in children if isinstance(item, dict | list)], depth + 1


def _fields_in(value: Any) -> int:
    """Named fields in `value` at all levels; it is not deep."""
    if isinstance(value, dict):
        return len(value) + sum(map(_fields_in, value.values()))
    return sum(map(_fields_in, value)) if isinstance(value, list) else 0


def _too_deep() -> Unfit:
    return unfit(f"is nested deeper than {limits.DEPTH_MAX} levels")


def _decoded_leniently(raw: bytes) -> Any:
    try:
        return json.loads(
            raw.decode(), parse_constant=_refuse_constant, parse_float=_double(float), parse_int=_double(int)
        )
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise NotJson(f"is not UTF-8 (byte {error.start})") from None
    except ValueError as error:
        raise NotJson(_position(error)) from None


def _position(error: ValueError) -> str:
    """Where the document breaks; never the text around it."""
    if isinstance(error, json.JSONDecodeError):
        return f"is not valid JSON (line {error.lineno}, column {error.colno})"
    return "is not valid JSON"


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _double(number: Callable[[str], float]) -> Callable[[str], float | _OutOfRange]:
    def parse(digits: str) -> float | _OutOfRange:
        try:
            parsed = number(digits)
        except ValueError:  # more digits than Python converts
            return _OutOfRange()
        return parsed if isinstance(parsed, int) or math.isfinite(parsed) else _OutOfRange()

    return parse


def _items_leniently(items: Any, name: str) -> list[bytes | Unfit]:
    """The items of a document that msgspec refuses because of one of them, which must not spoil the rest."""
    if not isinstance(items, list):
        raise Unfit([Fault(f"/{name}", "must be an array")])
    return [_encoded_or_unfit(item) for item in items]


def _encoded_or_unfit(item: Any) -> bytes | Unfit:
    try:
        check_storable(item)
    except Unfit as found:
        return found
    return msgspec.json.encode(item)
