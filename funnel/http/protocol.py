"""HTTP/1.1 as the world sends it: bounded heads, deadlines for slow clients, and a problem for what is not HTTP.

uvicorn reads a head of any size for any time, answers what is not HTTP in plain text with a warning each, and takes an
offer to upgrade for the end of the request, losing its body. What is refused here never reaches an application; it is
counted (`funnel_http_refused_total`), not logged, and nothing of it is repeated in the answer.
"""

from __future__ import annotations

import resource
import sys
from asyncio import TimerHandle, Transport
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

import httptools
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from funnel.http.problems import PROBLEM_MEDIA_TYPE, problem_body
from funnel.telemetry import HTTP_REFUSED

URL_BYTES_MAX: Final = 16 * 1024
"""A pixel's query string with everything a page may say; servers and browsers before us allow 8 to 64 KiB."""

HEADER_BYTES_MAX: Final = 32 * 1024
"""Names and values together. Cookies of a large site are 10 KiB; they come along with forms and beacons."""

HEADERS_MAX: Final = 100

FRAMING_BYTES_MAX: Final = 256 * 1024
"""All of a request that is not its body: head, sizes and extensions of chunks, trailers (which nobody reads)."""

PIPELINED_MAX: Final = 100
"""Requests sent ahead of their answers on one connection. A browser sends none, a benchmark sixteen."""

HEAD_SECONDS_MAX: Final = 10.0
"""From the connection or the first byte of a request to the end of its head."""

BODY_SECONDS_MAX: Final = 10.0
"""From the end of the head to the end of the body: 1 MiB at 100 kB/s. Also bounds a graceful stop."""

STUCK_SECONDS_MAX: Final = 30.0
"""How long a client may leave its answers unread before it is cut off."""

LINGER_SECONDS: Final = 2.0
"""How long a refused client may go on sending. Closing at once would reset the connection under the answer."""

DESCRIPTORS_LEFT: Final = 200
"""Open files that clients cannot use up: Kafka and Postgres have to be reachable however many of them there are."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is closed; `reason` is both the end of the problem's type and the label of the metric."""

    reason: str
    status: int
    title: str
    detail: str

    def head_and_body(self) -> bytes:
        """The answer but for its status line and the headers that every answer has."""
        body = problem_body(self.status, self.reason, self.title, self.detail)
        retry = b"retry-after: 1\r\n" if self.status == 503 else b""
        content_type = PROBLEM_MEDIA_TYPE.encode()
        head = b"content-type: %b\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n"
        return head % (content_type, len(body), retry) + body


BAD_HTTP: Final = Refusal("bad-http", 400, "Not HTTP", "What was sent is not an HTTP/1.1 request.")
PIPELINED: Final = Refusal(
    "too-many-pipelined", 400, "Too many at once", f"{PIPELINED_MAX} requests wait for their answers already."
)
URL_TOO_LONG: Final = Refusal("url-too-long", 414, "URL too long", f"The URL has more than {URL_BYTES_MAX} bytes.")
HEAD_TOO_LARGE: Final = Refusal(
    "head-too-large",
    431,
    "Head too large",
    f"A request may have {HEADERS_MAX} headers of {HEADER_BYTES_MAX} bytes together.",
)
SLOW_HEAD: Final = Refusal("slow-head", 408, "Slow head", f"The head did not arrive within {HEAD_SECONDS_MAX:g} s.")
SLOW_BODY: Final = Refusal("slow-body", 408, "Slow body", f"The body did not arrive within {BODY_SECONDS_MAX:g} s.")
TOO_MANY_CONNECTIONS: Final = Refusal(
    "too-many-connections", 503, "Too many connections", "No more connections are taken now; try again."
)
REFUSALS: Final = (BAD_HTTP, PIPELINED, URL_TOO_LONG, HEAD_TOO_LARGE, SLOW_HEAD, SLOW_BODY, TOO_MANY_CONNECTIONS)

_SMALL: Final = 8 * 1024
"""A head that came in so few bytes is within the limits: nothing is added up for it."""

_PARTIAL_HEAD_MAX: Final = URL_BYTES_MAX + HEADER_BYTES_MAX + 2 * _SMALL
"""Bytes of a head that has not ended yet: room for what is neither URL nor header, and for not counting exactly."""

_NO_MESSAGE: Final = cast(HTTPScope, {"type": "none"})
"""The scope between two requests."""


def connections_max() -> int:
    """Connections that may be open at once, from the number of files that the process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if files == resource.RLIM_INFINITY else max(files - DESCRIPTORS_LEFT, 1)


class _Refused(Exception):
    """Stops the parser inside one of its callbacks."""


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    url = b""  # uvicorn sets it with the first byte of a request

    _beside_body = 0
    """Bytes received for the request now being read that are not of its body."""
    _chunk_size = 0
    _client_owes = True
    """No request is under way: whatever comes has to become one."""
    _deadline: TimerHandle | None = None
    _deadline_is_for_body = False
    _stuck: TimerHandle | None = None
    """When a client that does not read its answers is cut off."""
    _upgrade_offered = False
    _refusal: Refusal | None = None
    """Why nothing more is read; to be answered as soon as what was accepted before is."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.scope = _NO_MESSAGE
        if len(self.connections) > connections_max():
            self._refuse(TOO_MANY_CONNECTIONS)
        else:
            self._await(body=False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        self._chunk_size = size = len(data)
        self._beside_body += size
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self._decline_upgrades(data, offered)
        except httptools.HttpParserError:
            self._refuse(BAD_HTTP)
        if self.scope is not _NO_MESSAGE or self._client_owes:
            self._await_more()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self._upgrade_offered = True  # another parser reads this head again
            return
        if self._chunk_size > _SMALL or self._beside_body > _SMALL or len(self.headers) > HEADERS_MAX or self.pipeline:
            self._check_head()
        HttpToolsProtocol.on_headers_complete(self)
        self.headers = []  # for the trailers, which uvicorn would add to the headers

    def on_body(self, body: bytes) -> None:
        self._beside_body -= len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._upgrade_offered:
            self._upgrade_offered = False
            return
        cycle = self.cycle
        self.scope = _NO_MESSAGE
        self._beside_body = 0 if self._chunk_size <= _SMALL else _SMALL + 1  # the chunk may hold a part of the next
        if self._deadline is not None:
            self._forget_deadline()
        self._client_owes = answered = cycle.response_complete
        if not answered:
            cycle.more_body = False
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        HttpToolsProtocol.on_response_complete(self)
        if self.timeout_keep_alive_task is not None:  # no other request is under way
            self._client_owes = True
            if self._refusal is not None:
                self._answer(self._refusal)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self.pause_writing()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(STUCK_SECONDS_MAX, self._cut_off)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _cut_off(self) -> None:
        HTTP_REFUSED.labels("slow-reader").inc()
        self.transport.abort()

    def _decline_upgrades(self, data: bytes, offered: httptools.HttpParserUpgrade) -> None:
        """Read on as if no other protocol had been offered (RFC 9110, 7.8): the parser stops at the end of such a head.

        Java's HttpClient offers HTTP/2 with every first request.
        """
        again: httptools.HttpParserUpgrade | None = offered
        while again is not None:
            if self.parser.get_method() == b"CONNECT":
                return self._refuse(BAD_HTTP)
            data = self._head_without_upgrade() + data[again.args[0] :]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            again = None
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as another:
                again = another
            except httptools.HttpParserError:
                self._refuse(BAD_HTTP)
        return None

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode("ascii")
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _check_head(self) -> None:
        """Refuse a request whose head was just read when that is too large, or one too many."""
        if len(self.url) > URL_BYTES_MAX:
            self._refuse(URL_TOO_LONG)
        elif len(self.headers) > HEADERS_MAX or sum(len(n) + len(v) for n, v in self.headers) > HEADER_BYTES_MAX:
            self._refuse(HEAD_TOO_LARGE)
        elif len(self.pipeline) >= PIPELINED_MAX:
            self._refuse(PIPELINED)
        if self._refusal is not None:
            raise _Refused

    def _await_more(self) -> None:
        """After a chunk that leaves the client in our debt: bound what is yet to come, in size and in time."""
        if self._refusal is not None:
            return
        body = self._cycle_being_read() is not None
        if not body and self._beside_body > _PARTIAL_HEAD_MAX:
            self._refuse(URL_TOO_LONG if len(self.url) > URL_BYTES_MAX else HEAD_TOO_LARGE)
        elif self._beside_body > FRAMING_BYTES_MAX:
            self._refuse(BAD_HTTP)
        else:
            self._await(body=body)

    def _await(self, *, body: bool) -> None:
        if self._deadline is not None:
            if self._deadline_is_for_body is body:
                return
            self._deadline.cancel()
        self._deadline_is_for_body = body
        self._deadline = self.loop.call_later(BODY_SECONDS_MAX if body else HEAD_SECONDS_MAX, self._on_deadline)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        if self.flow.read_paused:  # by us: the client may be waiting to go on
            self._await(body=self._deadline_is_for_body)
        elif self._cycle_being_read() is not None:
            self._refuse(SLOW_BODY)
        elif self.scope is not _NO_MESSAGE:
            self._refuse(SLOW_HEAD)
        else:
            self.transport.close()  # nothing was asked; an answer would be taken for that to the next question

    def _cycle_being_read(self) -> RequestResponseCycle | None:
        """The request whose head was taken and whose end has not come yet."""
        cycle = cast(RequestResponseCycle | None, self.cycle)
        return cycle if cycle is not None and cycle.scope is self.scope else None

    def _refuse(self, refusal: Refusal) -> None:
        """Take nothing more from this client; answer what it was promised an answer to, then the refusal, and close."""
        if self._refusal is not None:
            return
        self._refusal = refusal
        HTTP_REFUSED.labels(refusal.reason).inc()
        self._forget_deadline()
        cycle = self._cycle_being_read()
        if cycle is None:
            if self._client_owes:
                self._answer(refusal)
        elif self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
        elif cycle.response_started:
            self.transport.close()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
            self._answer(refusal)

    def _answer(self, refusal: Refusal) -> None:
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        headers = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(b"".join([STATUS_LINE[refusal.status], *headers, refusal.head_and_body()]))
        if self.transport.can_write_eof():
            with suppress(OSError):  # the client has gone meanwhile, and the transport does not know it yet
                self.transport.write_eof()
            self._deadline = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        else:
            self.transport.close()
