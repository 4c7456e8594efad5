"""Forms as browsers and scripts post them, and the events made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_from_bytes

from services.ingest.domain.forms.event import Arrival, event_of
from services.ingest.domain.forms.reading import JSON, URLENCODED, read
from services.ingest.domain.forms.submission import Field, Submission

Pairs = Sequence[tuple[str, str]]

BOUNDARY = "----WebKitFormBoundaryRtAlIeN6N5oRsTq2"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}".encode()


def as_browser_writes(text: str, charset: str) -> bytes:
    """`text` in the charset of a page; what the charset lacks as a numeric character reference."""
    return text.encode(charset, "xmlcharrefreplace")


def urlencoded(pairs: Pairs, charset: str = "utf-8") -> bytes:
    """What `<form method=post>` sends."""

    def encoded(text: str) -> str:
        return quote_from_bytes(as_browser_writes(text, charset), safe=" *-._").replace(" ", "+")

    return "&".join(f"{encoded(name)}={encoded(text)}" for name, text in pairs).encode("ascii")


def multipart(pairs: Pairs, charset: str = "utf-8", files: Sequence[tuple[str, str, bytes]] = ()) -> bytes:
    """What `new FormData(form)` sends, or a form with `enctype=multipart/form-data`."""

    def name_of(text: str) -> bytes:
        return as_browser_writes(text, charset).replace(b'"', b"%22")

    parts = [
        b'Content-Disposition: form-data; name="%b"\r\n\r\n%b' % (name_of(name), as_browser_writes(text, charset))
        for name, text in pairs
    ] + [
        b'Content-Disposition: form-data; name="%b"; filename="%b"\r\nContent-Type: application/pdf\r\n\r\n%b'
        % (name_of(name), name_of(filename), content)
        for name, filename, content in files
    ]
    start = f"--{BOUNDARY}".encode()
    return b"".join(b"%b\r\n%b\r\n" % (start, part) for part in parts) + start + b"--\r\n"


def hubspot(fields: Mapping[str, str], **more: Any) -> Submission:
    """A submission in HubSpot's shape."""
    sent = [{"objectTypeId": "0-1", "name": name, "value": value} for name, value in fields.items()]
    return read(json.dumps({"fields": sent, **more}).encode(), JSON.encode())


def submitted(*pairs: tuple[str, str]) -> Submission:
    """A submission of these fields, in UTF-8."""
    return Submission(tuple(Field(*pair) for pair in pairs))


def event(submission: Submission, **arrival: Any) -> dict[str, Any]:
    """The event made of it on the form `contact`."""
    return event_of(
        submission, Arrival(**{"form": "contact", "own_fields": {}, "honeypot": "website_confirm_url", **arrival})
    )


def event_of_fields(*pairs: tuple[str, str], **arrival: Any) -> dict[str, Any]:
    """The event made of these fields."""
    return event(submitted(*pairs), **arrival)


def read_urlencoded(body: bytes, charset: str = "") -> Submission:
    declared = f"; charset={charset}" if charset else ""
    return read(body, (URLENCODED + declared).encode())
