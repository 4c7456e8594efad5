"""Asking a child from outside whether it is ready."""

from __future__ import annotations

import http.client
import json
from typing import Final
from urllib.parse import urlsplit

_ANSWER_SECONDS: Final = 2.0


def service_problems(url: str) -> str:
    """What keeps the service at `url` from being ready, in one line; empty when it is ready."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer ({getattr(error, 'strerror', None) or type(error).__name__})"
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.OK:
        return ""
    return _named_problems(body) or f"answers {answer.status} to /readyz"


def _named_problems(body: bytes) -> str:
    try:
        problems = json.loads(body)["problems"]
        return "; ".join(f"{name}: {sentence}" for name, sentence in problems.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
