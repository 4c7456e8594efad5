"""From the body of a post to the fields in it: urlencoded, multipart, JSON of our own, JSON of HubSpot's shape."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from services.ingest.domain import limits
from services.ingest.domain.decoding import NotJson
from services.ingest.domain.fields import Fault, Unfit, unfit
from services.ingest.domain.forms import bounds
from services.ingest.domain.forms.charsets import all_storable, decoded, storable
from services.ingest.domain.forms.multipart import BadMultipart, Part, media_type, parts_of
from services.ingest.domain.forms.submission import Field, HubSpot, Submission

URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
JSON: Final = "application/json"
TEXT: Final = "text/plain"

CHARSET_FIELD: Final = b"_charset_"
"""A hidden field of this name, left empty: browsers fill in the charset that they send."""

_INT_DIGITS_MAX: Final = 18


class NotAForm(Exception):
    """The body is not what its Content-Type says; the message says why, as a sentence without its subject."""


class UnknownMediaType(Exception):
    """No form comes with this Content-Type."""


class TooMuch(Exception):
    """Beyond a bound; the message names it as a whole sentence."""


def read(body: bytes, content_type: bytes) -> Submission:
    """The submission in `body`. Raises NotAForm, NotJson, UnknownMediaType, TooMuch, or Unfit naming the field."""
    kind, parameters = media_type(content_type)
    kind = kind or (JSON if body.lstrip().startswith(b"{") else URLENCODED)
    labels = [parameters["charset"]] if "charset" in parameters else []
    if kind == MULTIPART:
        submission = _multipart(body, parameters, labels)
    elif kind == URLENCODED:
        submission = _of_parts(_urlencoded(body), labels)
    elif kind in (TEXT, JSON):
        try:
            submission = _json(body, labels)
        except RecursionError:
            raise unfit("is nested too deep") from None
    else:
        raise UnknownMediaType
    for one in submission.fields:
        if len(one.name) > bounds.NAME_CHARS_MAX:
            raise unfit(f"has a field whose name is longer than {bounds.NAME_CHARS_MAX} characters")
    return submission


def _urlencoded(body: bytes) -> list[Part]:
    parts: list[Part] = []
    for pair in body.strip().split(b"&"):
        if not pair:
            continue
        _check_number(len(parts) + 1)
        name, _, value = pair.replace(b"+", b" ").partition(b"=")
        parts.append(Part(unquote_to_bytes(name), unquote_to_bytes(value)))
    return parts


def _multipart(body: bytes, parameters: Mapping[str, str], labels: Sequence[str]) -> Submission:
    try:
        parts = parts_of(body, parameters.get("boundary", ""), bounds.FIELDS_MAX + 1)
    except BadMultipart as found:
        raise NotAForm(str(found)) from None
    _check_number(len(parts))
    return _of_parts(parts, labels)


def _of_parts(parts: Sequence[Part], labels: Sequence[str]) -> Submission:
    told = (part.value.decode("ascii", "replace") for part in parts if part.name == CHARSET_FIELD)
    texts = [text for part in parts for text in (part.name, part.value if part.filename is None else part.filename)]
    _check_size(sum(map(len, texts)))
    found, charset = decoded(texts, [*told, *(part.charset for part in parts if part.filename is None), *labels])
    fields = [
        Field(storable(name), storable(text if part.filename is None else _file(text, part)))
        for part, name, text in zip(parts, found[::2], found[1::2], strict=True)
    ]
    return Submission(tuple(fields), charset)


def _file(name: str, part: Part) -> str:
    """What is kept of a file: its name and its size. "" for a file that was not chosen."""
    return f"{name} ({len(part.value)} bytes)" if name or part.value else ""


def _json(body: bytes, labels: Sequence[str]) -> Submission:
    _check_size(len(body))
    (text,), charset = decoded([body], labels)
    try:
        document = json.loads(text.removeprefix("\ufeff"), parse_int=_whole_number, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise NotJson(f"is not valid JSON (line {error.lineno}, column {error.colno})") from None
    if not isinstance(document, dict):
        raise unfit("must be an object")
    if isinstance(document.get("fields"), list):
        return Submission(_fields(_hubspot_fields(document["fields"])), charset, _hubspot(document))
    return Submission(_fields(document.items()), charset)


def _fields(given: Iterable[tuple[str, Any]]) -> tuple[Field, ...]:
    """The fields that names and JSON values are."""
    texts = (Field(storable(name), storable(text)) for name, value in given for text in _texts(value))
    fields = tuple(islice(texts, bounds.FIELDS_MAX + 1))
    _check_number(len(fields))
    return fields


def _hubspot_fields(given: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    for index, one in enumerate(given):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise Unfit([Fault(f"/fields/{index}/name", "is required")])
        of_company = one.get("objectTypeId") == "0-2" and not one["name"].startswith("0-2/")
        yield f"0-2/{one['name']}" if of_company else one["name"], one.get("value")


def _hubspot(document: Mapping[str, Any]) -> HubSpot:
    context, consent = document.get("context"), document.get("legalConsentOptions")
    return HubSpot(
        document.get("submittedAt"),
        all_storable(context, limits.DEPTH_MAX) if isinstance(context, dict) else {},
        all_storable(consent, limits.DEPTH_MAX) if isinstance(consent, dict) else {},
    )


def _texts(value: Any) -> Iterator[str]:
    """A JSON value as a form would send it: a list as a field that is repeated, whatever else is not text as JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield json.dumps(value, ensure_ascii=False)


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) <= _INT_DIGITS_MAX else digits


def _check_size(size: int) -> None:
    if size > bounds.TEXT_BYTES_MAX:
        raise TooMuch(f"The fields of the form have more than {bounds.TEXT_BYTES_MAX} bytes.")


def _check_number(fields: int) -> None:
    if fields > bounds.FIELDS_MAX:
        raise TooMuch(f"A form may have {bounds.FIELDS_MAX:,} fields.")
