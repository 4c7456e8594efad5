"""Cloudflare Turnstile: asking whether a person filled the form in.

It fails open. Whoever cannot be asked about is taken: a lead is worth more than a spam that gets through.
"""

from __future__ import annotations

import asyncio
import uuid
from enum import Enum
from typing import Any, Final

import httpx
import structlog

from services.ingest.domain.forms.bounds import TURNSTILE_CHARS_MAX

SITEVERIFY: Final = "https://challenges.cloudflare.com/turnstile/v0/siteverify"
SECONDS_MAX: Final = 2.0
"""How long a person waits for it, in seconds. It answers within a tenth of that when it is well."""

_NOT_THE_VISITORS_FAULT: Final = frozenset(
    {"missing-input-secret", "invalid-input-secret", "bad-request", "internal-error"}
)
_REQUESTS: Final = uuid.UUID("5b9f7b0a-3c55-5d0e-8f57-7b8f8f2f6c7e")

log = structlog.get_logger(__name__)


class Verdict(Enum):
    """What is known of who filled the form in."""

    PERSON = "person"
    NO_PERSON = "no person"
    UNAVAILABLE = "unavailable"


class Turnstile:
    """Asks siteverify. Without a secret nobody can be asked about."""

    def __init__(self, secret: str, *, url: str = SITEVERIFY, seconds_max: float = SECONDS_MAX) -> None:
        self._secret = secret
        self._url = url
        self._seconds_max = seconds_max
        self._client = httpx.AsyncClient(timeout=seconds_max)

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def verify(self, response: str | None, event_id: str) -> Verdict:
        """Whether `response`, what the widget put into the form, is a person's.

        A response is good for one question. Asked again about the same event, siteverify repeats its answer: a form
        that is sent again is not told that its response was spent. The visitor's address is not passed on: it is not
        needed, and behind a proxy it would be the proxy's.
        """
        if not self._secret:
            log.warning("turnstile_unavailable", reason="FUNNEL_TURNSTILE_SECRET is not set")
            return Verdict.UNAVAILABLE
        if response is None or len(response) > TURNSTILE_CHARS_MAX:
            return Verdict.NO_PERSON
        question = {
            "secret": self._secret,
            "response": response,
            "idempotency_key": str(uuid.uuid5(_REQUESTS, f"{event_id}\n{response}")),
        }
        try:
            async with asyncio.timeout(self._seconds_max):
                answer = await self._client.post(self._url, data=question)
            return _verdict(answer.status_code, answer.json())
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            log.warning("turnstile_unavailable", reason=type(error).__name__)
            return Verdict.UNAVAILABLE


def _verdict(status: int, answer: Any) -> Verdict:
    """The verdict in an answer of siteverify; an answer that blames us or itself is none."""
    success = answer.get("success") if isinstance(answer, dict) else None
    if success is True:
        return Verdict.PERSON
    codes = answer.get("error-codes") if isinstance(answer, dict) else None
    blamed = {code for code in codes if isinstance(code, str)} if isinstance(codes, list) else set()
    if success is not False or status >= 500 or blamed & _NOT_THE_VISITORS_FAULT:
        log.warning("turnstile_unavailable", status=status, codes=sorted(blamed & _NOT_THE_VISITORS_FAULT))
        return Verdict.UNAVAILABLE
    return Verdict.NO_PERSON
