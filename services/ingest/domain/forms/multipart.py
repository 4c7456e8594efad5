"""The parts of a multipart/form-data body (RFC 7578), as bytes: their charset is not known before all are there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState

_PARAMETER: Final = re.compile(rb';\s*([A-Za-z0-9_-]+)\s*=\s*(?:"([^"]*)"|([^;\s]*))')
_ESCAPED: Final = ((b"%22", b'"'), (b"%0D", b"\r"), (b"%0A", b"\n"))
"""What browsers escape in a name, and nothing else. A backslash escapes nothing: it is half of a Shift_JIS 表."""


class BadMultipart(Exception):
    """The body is not whole, or not multipart; the message says why, as a sentence without its subject."""


class Part(NamedTuple):
    """One part. `filename` is None for a field, b"" for a file that was not chosen."""

    name: bytes
    value: bytes
    filename: bytes | None = None
    charset: str = ""


def media_type(content_type: bytes) -> tuple[str, dict[str, str]]:
    """`multipart/form-data; boundary=x` as the type in lower case and its parameters."""
    kind = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    return kind, {name: value.decode("latin-1") for name, value in _parameters(content_type).items()}


def parts_of(body: bytes, boundary: str, most: int) -> list[Part]:
    """The first `most` parts of `body`. Raises BadMultipart."""
    if not boundary:
        raise BadMultipart("has no boundary in its Content-Type")
    collected = _Collected(most)
    try:
        parser = MultipartParser(boundary, collected.callbacks())  # type: ignore[arg-type]
        parser.write(body)
    except FormParserError:
        raise BadMultipart("is not multipart/form-data as it says") from None
    if parser.state != MultipartState.END:
        raise BadMultipart("ends before its last boundary")
    return collected.parts


class _Collected:
    """Takes the parser's calls and makes parts of them."""

    def __init__(self, most: int) -> None:
        self.parts: list[Part] = []
        self._most = most
        self._headers: dict[bytes, bytes] = {}
        self._header_name = self._header_value = self._value = b""

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header_name,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._headers, self._value = {}, b""

    def _on_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end(self) -> None:
        if len(self.parts) >= self._most:
            return
        disposition = _parameters(self._headers.get(b"content-disposition", b""))
        charset = _parameters(self._headers.get(b"content-type", b"")).get("charset", b"")
        filename = disposition.get("filename")
        self.parts.append(
            Part(
                _unescaped(disposition.get("name", b"")),
                self._value,
                None if filename is None else _unescaped(filename),
                charset.decode("latin-1"),
            )
        )


def _parameters(header: bytes) -> dict[str, bytes]:
    return {
        name.lower().decode("ascii"): quoted or bare
        for name, quoted, bare in _PARAMETER.findall(b";" + header.partition(b";")[2])
    }


def _unescaped(name: bytes) -> bytes:
    for escaped, meant in _ESCAPED:
        name = name.replace(escaped, meant)
    return name
