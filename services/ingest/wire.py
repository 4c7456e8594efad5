"""HTTP in ASGI's own terms: reading a bounded request, sending an answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import Message, Receive, Scope, Send

from funnel.http import PROBLEM_MEDIA_TYPE, FieldError, HttpProblem, problem_body
from services.ingest.domain import limits
from services.ingest.domain.receipt import BadParameters, Mode, read_parameters

_JSON = b"application/json"
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NDJSON = (b"application/x-ndjson", b"application/ndjson", b"application/jsonl")

_HEADERS_READ = frozenset({b"content-encoding", b"content-length", b"content-type", b"traceparent"})


class ClientGone(Exception):
    """The client hung up before its request was complete; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, read and bounded."""

    source: str
    mode: Mode
    traceparent: bytes | None
    is_ndjson: bool
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. One of 400 or more is a problem."""

    status: int
    body: bytes
    headers: Mapping[bytes, bytes] = field(default_factory=dict)


async def read_ask(scope: Scope, receive: Receive, body_max: int) -> Ask:
    """The request with its whole body. Raises HttpProblem (408, 413, 415, 422) or ClientGone."""
    headers = {name: value for name, value in scope["headers"] if name in _HEADERS_READ}
    source, mode = _parameters(scope["query_string"])
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"", b"identity"):
        detail = "Content-Encoding is not supported here; send the body as it is."
        raise HttpProblem(415, "unsupported-encoding", "Unsupported encoding", detail)
    if int(headers.get(b"content-length", b"0")) > body_max:
        raise too_large(body_max)
    traceparent = headers.get(b"traceparent")
    return Ask(
        source,
        mode,
        traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None,
        headers.get(b"content-type", b"").partition(b";")[0].strip().lower() in _NDJSON,
        await _read_body(receive, body_max),
    )


def too_large(body_max: int) -> HttpProblem:
    """The body has more bytes than this endpoint reads."""
    return HttpProblem(413, "too-large", "Too large", f"The body is larger than {body_max} bytes.")


async def send_answer(send: Send, answer: Answer) -> None:
    """Send `answer` as JSON, or as a problem when its status says so."""
    content_type = _JSON if answer.status < 400 else PROBLEM_MEDIA_TYPE.encode()
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(answer.body))]
    headers += answer.headers.items()
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def answer_problem(problem: HttpProblem) -> Answer:
    """The answer that a raised problem stands for."""
    body = problem_body(problem.status, problem.slug, problem.title, problem.detail, errors=problem.errors)
    return Answer(problem.status, body)


def _parameters(query: bytes) -> tuple[str, Mode]:
    try:
        return read_parameters(query)
    except BadParameters as found:
        errors: list[FieldError] = [{"parameter": fault.pointer, "detail": fault.detail} for fault in found.faults]
        raise HttpProblem(
            422, "invalid-parameters", "Invalid parameters", f"In the URL: {found}.", errors=errors
        ) from None


async def _read_body(receive: Receive, most: int) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > most:
            raise too_large(most)
        return body
    try:
        async with asyncio.timeout(limits.BODY_SECONDS_MAX):
            return await _read_rest(receive, message, most)
    except TimeoutError:
        detail = f"The body did not arrive within {limits.BODY_SECONDS_MAX:g} s."
        raise HttpProblem(408, "slow-body", "Slow body", detail) from None


async def _read_rest(receive: Receive, message: Message, most: int) -> bytes:
    body = bytearray()
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > most:
            raise too_large(most)
        if not message.get("more_body", False):
            return bytes(body)
        message = await receive()
