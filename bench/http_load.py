"""Posts prepared bodies to ingest on a schedule: `python -m bench.http_load HOST PORT RATE BODIES RESULT`.

BODIES is a file with one JSON document per line. A process of its own, on a bare HTTP client, so that it takes
little of the time that it measures.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import uvloop

from bench.open_loop import Sent, send_on_schedule, write

NO_ANSWER = 0
"""The status of a post whose connection failed."""

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """A kept-alive connection with at most one request under way."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def ask(self, request: bytes) -> int:
        """Send a whole request; returns the status of the answer. Raises ConnectionError."""
        if self._transport is None:
            raise ConnectionError("not connected")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        status = complete(self._buffer)
        if status is not None and self._answer is not None:
            self._buffer = b""
            self._answer.set_result(status)
            self._answer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None:
            self._answer.set_exception(ConnectionError(str(exc or "closed")))
            self._answer = None


def complete(answer: bytes) -> int | None:
    """The status of an answer with a Content-Length, or None while a part of it is missing."""
    head, separator, body = answer.partition(_HEAD_END)
    if not separator:
        return None
    length = _LENGTH.search(head)
    if len(body) < (int(length[1]) if length else 0):
        return None
    return int(head.split(b" ", 2)[1])


async def post_all(host: str, port: int, rate: float, bodies: Sequence[bytes]) -> list[Sent]:
    """Post `bodies` at `rate` per second; a request that finds no idle connection opens one."""
    loop = asyncio.get_running_loop()
    idle: list[Connection] = []

    async def post(number: int) -> int:
        body = bodies[number]
        head = f"POST /v1/events HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        while idle:
            with suppress(ConnectionError):  # the server closes connections that were idle for some seconds
                return await ask(idle.pop(), request)
        try:
            return await ask((await loop.create_connection(Connection, host, port))[1], request)
        except OSError:
            return NO_ANSWER

    async def ask(connection: Connection, request: bytes) -> int:
        status = await connection.ask(request)
        idle.append(connection)
        return status

    return await send_on_schedule(post, rate, len(bodies))


def main() -> None:
    """The whole process."""
    host, port, rate, bodies, result = sys.argv[1:]
    lines = Path(bodies).read_bytes().splitlines()
    write(Path(result), uvloop.run(post_all(host, int(port), float(rate), lines)))


if __name__ == "__main__":
    main()
