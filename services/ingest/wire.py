"""HTTP in ASGI's own terms: reading a bounded request, sending an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from funnel.http import PROBLEM_MEDIA_TYPE, FieldError, HttpProblem, problem_body
from services.ingest.domain.encodings import ENCODINGS, BrokenEncoding, TooLarge, UnsupportedEncoding, decompressed
from services.ingest.domain.receipt import BadParameters, Parameters, read_leniently, read_parameters

JSON: Final = b"application/json"
NO_CONTENT: Final = 204
_PROBLEM: Final = PROBLEM_MEDIA_TYPE.encode()
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NDJSON = (b"application/x-ndjson", b"application/ndjson", b"application/jsonl")

# A structured-field string (RFC 8941), or the same without its quotes as most clients send it.
_IDEMPOTENCY_KEY = re.compile(rb'"?([\x21\x23-\x7e]{1,255})"?')

_HEADERS_READ = frozenset(
    {
        *(b"authorization", b"origin", b"content-type", b"content-encoding", b"content-length"),
        *(b"idempotency-key", b"traceparent", b"accept", b"accept-language", b"referer"),
    }
)


class ClientGone(Exception):
    """The client hung up before its request was complete; there is nobody to answer."""


@dataclass(slots=True)
class Ask:
    """A request: its head, and its body once that was read and decompressed. `path` is without the query."""

    path: str
    query: bytes
    parameters: Parameters
    headers: Mapping[bytes, bytes]
    path_parameters: Mapping[str, str]
    body: bytes = b""

    @property
    def authorization(self) -> bytes | None:
        return self.headers.get(b"authorization")

    @property
    def origin(self) -> bytes | None:
        return self.headers.get(b"origin")

    @property
    def content_type(self) -> bytes:
        """As sent, with its parameters."""
        return self.headers.get(b"content-type", b"")

    @property
    def is_ndjson(self) -> bool:
        return self.content_type.partition(b";")[0].strip().lower() in _NDJSON

    @property
    def traceparent(self) -> bytes | None:
        """The W3C trace header, when it is one."""
        given = self.headers.get(b"traceparent")
        return given if given and _TRACEPARENT.fullmatch(given) else None

    @property
    def idempotency_key(self) -> str | None:
        """The client's name for this request. Raises HttpProblem when it cannot be one."""
        given = self.headers.get(b"idempotency-key")
        if given is None:
            return None
        found = _IDEMPOTENCY_KEY.fullmatch(given.strip())
        if found is None:
            detail = "must be 1 to 255 visible ASCII characters, with or without quotes around them"
            raise _bad_parameter("Idempotency-Key", detail, "In the head")
        return found[1].decode("ascii")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. One of 400 or more is a problem unless `content_type` says otherwise.

    `settled`: the same request will never get another answer.
    """

    status: int
    body: bytes
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    content_type: bytes | None = None
    settled: bool = True


def read_head(scope: Scope, *, lenient: bool = False) -> Ask:
    """The request without its body. `lenient`: parameters that are not acceptable count as absent.

    Raises HttpProblem (422).
    """
    headers = {name: value for name, value in scope["headers"] if name in _HEADERS_READ}
    query: bytes = scope["query_string"]
    try:
        parameters = read_leniently(query) if lenient else read_parameters(query)
    except BadParameters as found:
        errors: list[FieldError] = [{"parameter": fault.pointer, "detail": fault.detail} for fault in found.faults]
        raise HttpProblem(
            422, "invalid-parameters", "Invalid parameters", f"In the URL: {found}.", errors=errors
        ) from None
    return Ask(scope["path"], query, parameters, headers, scope.get("path_params", {}))


async def read_body(ask: Ask, receive: Receive, most: int) -> bytes:
    """The whole body, decompressed. Raises HttpProblem (400, 413, 415) or ClientGone."""
    if int(ask.headers.get(b"content-length", b"0")) > most:
        raise too_large(most)
    body = await _received(receive, most)
    encoding = ask.headers.get(b"content-encoding")
    if encoding is None:
        return body
    try:
        return decompressed(body, encoding, most)
    except UnsupportedEncoding:
        accepted = ", ".join(ENCODINGS)
        detail = f"Content-Encoding is not one of {accepted}; send one of these, or the body as it is."
        headers = {"Accept-Encoding": accepted}
        raise HttpProblem(415, "unsupported-encoding", "Unsupported encoding", detail, headers=headers) from None
    except BrokenEncoding as broken:
        raise HttpProblem(400, "bad-encoding", "Bad encoding", f"The body {broken}.") from None
    except TooLarge:
        raise too_large(most) from None


def too_large(body_max: int) -> HttpProblem:
    """The body has more bytes than this endpoint reads."""
    return HttpProblem(413, "too-large", "Too large", f"The body is larger than {body_max} bytes.")


async def send_answer(send: Send, answer: Answer) -> None:
    """Send `answer` as JSON, or as a problem when its status says so."""
    headers = list(answer.headers.items())
    if answer.body:
        headers.append((b"content-type", answer.content_type or (JSON if answer.status < 400 else _PROBLEM)))
    if answer.status != NO_CONTENT:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def answer_problem(problem: HttpProblem) -> Answer:
    """The answer that a raised problem stands for."""
    body = problem_body(problem.status, problem.slug, problem.title, problem.detail, errors=problem.errors)
    headers = {name.lower().encode(): value.encode() for name, value in (problem.headers or {}).items()}
    return Answer(problem.status, body, headers)


def _bad_parameter(name: str, detail: str, where: str) -> HttpProblem:
    errors: list[FieldError] = [{"parameter": name, "detail": detail}]
    sentence = f"{where}: {name} {detail}."
    return HttpProblem(422, "invalid-parameters", "Invalid parameters", sentence, errors=errors)


async def _received(receive: Receive, most: int) -> bytes:
    """The body as sent; how long it may take is the protocol's business (`funnel.http.protocol`)."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and message["type"] == "http.request":
        if len(body) > most:
            raise too_large(most)
        return body
    return await _received_in_parts(receive, message, most)


async def _received_in_parts(receive: Receive, message: Message, most: int) -> bytes:
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
