"""One HTTP connection without a network: bytes in, in pieces as the test likes, and what the application saw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from funnel.http.protocol import HttpProtocol


@dataclass
class Seen:
    """A request as the application saw it; `whole` once its body had come to its end."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    whole: bool = False


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self) -> str:
        """The end of the problem's type."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["connection"] == "close"
        found = json.loads(self.body)
        assert found["status"] == self.status
        return str(found["type"]).removeprefix("urn:funnel:problem:")


class Transport(asyncio.Transport):
    """Keeps what is written; is read from for ever, also where a real one would pause."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False
        self.unsent = 0
        self.has_ended = asyncio.Event()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        assert not self.ended, "written after the end"
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._end()

    def close(self) -> None:
        self._end()

    abort = close

    def _end(self) -> None:
        self.ended = True
        self.has_ended.set()

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.unsent


@dataclass
class Connection:
    """A client's connection to an application that answers 200 with the body it read."""

    transport: Transport = field(default_factory=Transport)
    seen: list[Seen] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()
        config = uvicorn.Config(self._app, interface="asgi3", access_log=False, log_config=None, lifespan="off")
        self.server_state = ServerState()
        self.protocol = HttpProtocol(config, self.server_state, {})
        self.protocol.connection_made(self.transport)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        request = Seen(scope["method"], (scope["raw_path"] + query).decode(), scope["headers"])
        self.seen.append(request)
        message: Any = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            request.body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            return
        request.whole = True
        await self.may_answer.wait()
        length = b"%d" % len(request.body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": request.body})

    async def send(self, *pieces: bytes) -> None:
        """Let the server receive `pieces` one after the other, with time to work in between."""
        for piece in pieces:
            if self.transport.ended:
                return
            self.protocol.data_received(piece)
            await self.settle()

    async def settle(self) -> None:
        """Let every task of the connection run until it waits for something else."""
        for _ in range(5 + 5 * len(self.protocol.pipeline)):
            await asyncio.sleep(0)

    def answers(self) -> list[Answered]:
        """All that was written, as responses one behind the other."""
        found, rest = [], self.transport.written
        while rest:
            head, separator, rest = rest.partition(b"\r\n\r\n")
            assert separator, rest
            status_line, *lines = head.decode("latin-1").split("\r\n")
            assert status_line.startswith("HTTP/1.1 ")
            headers = dict(line.split(": ", 1) for line in lines)
            length = int(headers.get("content-length", "0"))
            assert len(rest) >= length
            found.append(Answered(int(status_line.split()[1]), headers, rest[:length]))
            rest = rest[length:]
        return found

    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers()]

    def end(self) -> None:
        """The client hangs up."""
        self.protocol.connection_lost(None)


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    """`data` in pieces, cut at these places (taken modulo its length)."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:stop] for start, stop in pairwise(places)]
