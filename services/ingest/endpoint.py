"""What every way in has in common: who may, how much, once per Idempotency-Key, from which pages, and counting.

An endpoint is a plain ASGI callable put before FastAPI's router, since it carries the load; the OpenAPI document has
it like any other.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from starlette.types import Receive, Scope, Send

from funnel import telemetry
from funnel.failpoints import reach
from funnel.http import HttpProblem
from services.ingest.domain import cors
from services.ingest.domain.access import Caller, Use
from services.ingest.gate import Gate
from services.ingest.idempotency import Work
from services.ingest.wire import NO_CONTENT, Answer, Ask, ClientGone, answer_problem, read_body, read_head, send_answer

Respond = Callable[[Ask, Caller], Awaitable[Answer]]
"""Answers a request whose sender may send it. May raise HttpProblem."""

Content = Callable[[Ask], bytes]
"""What a request says, whatever it was packed in."""


def content_of(ask: Ask) -> bytes:
    """All of the request: its bytes, and how they are to be read."""
    return b"%b\n%b\n%b" % (ask.content_type, ask.query, ask.body)


@dataclass(frozen=True, slots=True)
class Way:
    """One way in. `path` is also its name in metrics; `body_max` is in bytes, 0 for a request without a body."""

    path: str
    use: Use
    body_max: int
    method: str = "POST"


class Remembers(Protocol):
    """The part of `services.ingest.idempotency.Idempotency` used here."""

    async def once(self, *, source: str, path: str, key: str, fingerprint: bytes, work: Work) -> Answer:
        """The answer of `work`, or the one that an earlier request with this key got. Raises HttpProblem 409, 422."""


@dataclass(frozen=True, slots=True)
class Doors:
    """What stands between any request and the intake."""

    gate: Gate
    idempotency: Remembers


class Endpoint:
    """The ASGI callable of one way in, around `respond`."""

    def __init__(
        self,
        way: Way,
        doors: Doors,
        respond: Respond,
        *,
        content: Content = content_of,
        always: Answer | None = None,
    ) -> None:
        """`content` is what makes two requests the same under one Idempotency-Key.

        `always` is sent whatever the answer is, which then only counts: to those who could not read it.
        """
        self._way = way
        self._content = content
        self._always = always
        self._gate = doors.gate
        self._idempotency = doors.idempotency
        self._respond = respond
        self._seconds = telemetry.INGEST_REQUEST_SECONDS.labels(way.path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        _requests(self._way.path, answer.status)()
        self._seconds.observe(time.perf_counter() - started)
        always = self._always if scope["method"] in (self._way.method, "HEAD") else None
        reach("ingest.answer.before")
        await send_answer(send, always or answer)
        reach("ingest.answer.after")

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        ask: Ask | None = None
        try:
            if scope["method"] != self._way.method:
                return self._other_method(scope)
            ask = self._head(scope)
            caller = self._gate.admit(self._way.use, ask.parameters, ask.authorization, ask.origin)
            if self._way.body_max:
                ask.body = await read_body(ask, receive, self._way.body_max)
            if self._way.method != "POST" or (key := ask.idempotency_key) is None:
                answer = await self._respond(ask, caller)
            else:
                answer = await self._once(ask, caller, key)
        except HttpProblem as problem:
            answer = answer_problem(problem)
        if ask is not None and ask.origin is not None:
            return self._readable_by_page(ask, answer)
        return answer

    async def _once(self, ask: Ask, caller: Caller, key: str) -> Answer:
        """The answer under an Idempotency-Key: given once, told again to whoever repeats the request.

        Looking the key up costs as much as an item, so that nobody fills the table for nothing. Raises HttpProblem.
        """
        self._gate.spend(caller, 1)

        async def work() -> Answer:
            try:
                return await self._respond(ask, caller)
            except HttpProblem as problem:
                return answer_problem(problem)

        fingerprint = hashlib.sha256(self._content(ask)).digest()
        return await self._idempotency.once(
            source=caller.source.name, path=self._place(ask.path), key=key, fingerprint=fingerprint, work=work
        )

    def _place(self, path: str) -> str:
        """`path` as it can be stored: one with parameters may hold anything, of any length."""
        return path if path == self._way.path else f"{self._way.path} {hashlib.sha256(path.encode()).hexdigest()}"

    def _readable_by_page(self, ask: Ask, answer: Answer) -> Answer:
        """`answer` with the headers that let the page that asked read it, if its origin is allowed."""
        origin = _text(ask.origin or b"")
        told = cors.answer_headers(origin, allowed=self._is_heard_by(origin, ask))
        return replace(answer, headers={**answer.headers, **told})

    def _is_heard_by(self, origin: str, ask: Ask) -> bool:
        """A form is taken from any page: a browser that must not send it would lose a lead."""
        return self._way.use is Use.FORM or self._gate.allows_origin(origin, ask.parameters.key)

    def _head(self, scope: Scope) -> Ask:
        return read_head(scope, lenient=self._way.use is Use.FORM)

    def _other_method(self, scope: Scope) -> Answer:
        if scope["method"] == "OPTIONS":
            return self._preflight(scope)
        detail = f"{scope['method']} is not possible here; use {self._way.method}."
        headers = {"Allow": f"{self._way.method}, OPTIONS"}
        return answer_problem(HttpProblem(405, "method-not-allowed", "Method not allowed", detail, headers=headers))

    def _preflight(self, scope: Scope) -> Answer:
        """What a browser asks before a page of another origin may post; it brings no key but the one in the URL."""
        ask = self._head(scope)
        origin = _text(ask.origin or b"")
        allowed = bool(origin) and self._is_heard_by(origin, ask)
        return Answer(NO_CONTENT, b"", cors.preflight_headers(origin, self._way.method, allowed=allowed))


@cache
def _requests(path: str, status: int) -> Callable[[], None]:
    """Counts a request. The series is looked up once; then counting costs next to nothing."""
    return telemetry.INGEST_REQUESTS.labels(path, status).inc


def _text(header: bytes) -> str:
    return header.decode("latin-1")
