"""A client to which HTTP is only bytes, so that it can send what no other client lets one send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

_PROBLEM_TYPE = "urn:funnel:problem:"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, its header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The end of the problem's type. Raises AssertionError for anything that is no proper problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        problem = self.json
        assert problem["status"] == self.status, self
        assert problem["title"], self
        assert problem["detail"], self
        assert problem["type"].startswith(_PROBLEM_TYPE), self
        return str(problem["type"]).removeprefix(_PROBLEM_TYPE)

    @property
    def is_last(self) -> bool:
        """Whether the server closes the connection after it."""
        return self.headers.get("connection") == "close"


class RawClient:
    """A connection to which anything can be written."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, *, to_head: bool = False) -> Answered:
        """The next answer; `to_head`: to a HEAD request, which has no body whatever its Content-Length says."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = 0 if to_head else int(headers.get("content-length", "0"))
        return Answered(int(status_line.split()[1]), headers, await self._reader.readexactly(length))

    async def closed(self) -> bool:
        """Waits for the server to hang up; whether it did so without another word."""
        return await self._reader.read() == b""

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawClient]:
    """A connection to the server at `port` of this machine."""
    client = RawClient(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield client
    finally:
        client.close()


def request(method: str, target: str, body: bytes = b"", headers: Mapping[str, str | bytes] | None = None) -> bytes:
    """The bytes of a request. Content-Length is added unless `headers` say something of the length themselves."""
    given = {"Host": "127.0.0.1", **(headers or {})}
    if body and not {"content-length", "transfer-encoding"} & {name.lower() for name in given}:
        given["Content-Length"] = str(len(body))
    values = {name: value if isinstance(value, bytes) else value.encode("latin-1") for name, value in given.items()}
    lines = [f"{method} {target} HTTP/1.1".encode("latin-1")]
    lines += [name.encode("latin-1") + b": " + value for name, value in values.items()]
    return b"\r\n".join([*lines, b"", body])
