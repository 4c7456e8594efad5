"""Signs that no person filled the form in. They never refuse: a suspect is put aside for a person to look at."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from datetime import datetime, timedelta
from typing import Final

from services.ingest.domain.forms import bounds
from services.ingest.domain.forms.event import TOKEN_FIELD
from services.ingest.domain.forms.submission import Submission

HONEYPOT: Final = "honeypot"
TOO_FAST: Final = "too-fast"
BAD_TOKEN: Final = "bad-token"  # noqa: S105 - a reason, not a secret
TURNSTILE: Final = "turnstile"

NONCE_BYTES: Final = 8

_VERSION: Final = "v1."
_PURPOSE: Final = b"funnel form token v1"
_MAC_BYTES: Final = 16
_HEAD: Final = struct.Struct(f">q{NONCE_BYTES}s")
_TOKEN_BYTES: Final = _HEAD.size + _MAC_BYTES
_TOKEN: Final = re.compile(r"v1\.([A-Za-z0-9_-]+)")
_MILLISECOND: Final = timedelta(milliseconds=1)
_CLOCKS_APART: Final = timedelta(minutes=1)
"""By how much the clocks of two processes may differ: one makes the token, another one reads it."""


def token_key(secret: str) -> bytes:
    """The key that render tokens are signed with, derived from the service's secret."""
    return hmac.digest(hashlib.sha256(secret.encode()).digest(), _PURPOSE, "sha256")


def token(key: bytes, form: str, at: datetime, nonce: bytes) -> str:
    """A signed statement that a page with `form` was rendered at `at`. `nonce` (NONCE_BYTES) tells renderings apart."""
    head = _HEAD.pack((at - _epoch(at)) // _MILLISECOND, nonce)
    signed = base64.urlsafe_b64encode(head + _mac(key, form, head))
    return _VERSION + signed.decode().rstrip("=")


def rendered_at(key: bytes, form: str, text: str) -> timedelta | None:
    """When the page was rendered, since 1970; None for a token that is not ours or is another form's."""
    found = _TOKEN.fullmatch(text)
    if found is None:
        return None
    try:
        signed = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
    except ValueError:
        return None
    head, mac = signed[: _HEAD.size], signed[_HEAD.size :]
    if len(signed) != _TOKEN_BYTES or not hmac.compare_digest(mac, _mac(key, form, head)):
        return None
    milliseconds: int = _HEAD.unpack(head)[0]
    return milliseconds * _MILLISECOND


def signs(
    submission: Submission, *, form: str, honeypot: str, key: bytes | None, now: datetime, min_fill_seconds: float
) -> list[str]:
    """Why the submission looks like spam. Without `key` no token is judged: it could be another process's."""
    found = []
    if honeypot and submission.text(honeypot) is not None:
        found.append(HONEYPOT)
    given = submission.text(TOKEN_FIELD)
    if key is not None and given is not None and (sign := _judged(key, form, given, now, min_fill_seconds)):
        found.append(sign)
    return found


def _judged(key: bytes, form: str, given: str, now: datetime, min_fill_seconds: float) -> str | None:
    at = rendered_at(key, form, given)
    if at is None:
        return BAD_TOKEN
    age = (now - _epoch(now)) - at
    if not -_CLOCKS_APART <= age <= timedelta(seconds=bounds.TOKEN_SECONDS_MAX):
        return BAD_TOKEN
    return TOO_FAST if age < timedelta(seconds=min_fill_seconds) else None


def _mac(key: bytes, form: str, head: bytes) -> bytes:
    return hmac.digest(key, head + form.encode(), "sha256")[:_MAC_BYTES]


def _epoch(at: datetime) -> datetime:
    return datetime.fromtimestamp(0, at.tzinfo)
