"""CORS: the headers that let a browser hand our answers to a page of another origin (fetch.spec.whatwg.org).

Never with credentials: a page proves itself by its write key, not by cookies. `Origin: null` names no page, so nothing
is allowed for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MAX_AGE_SECONDS: Final = 3600
"""How long a browser may remember a preflight. An origin taken off a source is still refused at each post."""

_REQUEST_HEADERS: Final = b"content-type, authorization, idempotency-key, content-encoding, traceparent"
_ANSWER_HEADERS: Final = b"retry-after, idempotent-replayed"
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[A-Za-z0-9._~:\[\]-]{1,255}")
"""A serialised origin; anything else a client writes there is never sent back."""

_VARY: Final = {b"vary": b"Origin"}


def answer_headers(origin: str, *, allowed: bool) -> Mapping[bytes, bytes]:
    """What an answer, good or bad, says to the page at `origin`, the value of the request's Origin header."""
    if not _is_sent_back(origin, allowed):
        return _VARY
    return _VARY | {
        b"access-control-allow-origin": origin.encode("ascii"),
        b"access-control-expose-headers": _ANSWER_HEADERS,
    }


def preflight_headers(origin: str, method: str, *, allowed: bool) -> Mapping[bytes, bytes]:
    """What the answer to OPTIONS says (204 either way); `method` is the one that its path takes."""
    if not _is_sent_back(origin, allowed):
        return _VARY
    return _VARY | {
        b"access-control-allow-origin": origin.encode("ascii"),
        b"access-control-allow-methods": method.encode("ascii"),
        b"access-control-allow-headers": _REQUEST_HEADERS,
        b"access-control-max-age": b"%d" % MAX_AGE_SECONDS,
    }


def _is_sent_back(origin: str, allowed: bool) -> bool:
    return allowed and _ORIGIN.fullmatch(origin) is not None
