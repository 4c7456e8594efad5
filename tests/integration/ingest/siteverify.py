"""A stand-in for Cloudflare's siteverify on a loopback port: well, broken, or silent, as a test wants it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

ACCEPTED = b'{"success": true, "error-codes": []}'
REFUSED = b'{"success": false, "error-codes": ["invalid-input-response"]}'


class SiteVerify:
    """Says `answer` with `status`; says nothing at all while `is_silent`."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.answer = ACCEPTED
        self.is_silent = False
        self.asked: list[dict[str, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one question."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.lower().splitlines() if line.startswith(b"content-length:"))
            question = parse_qs((await reader.readexactly(length)).decode(), strict_parsing=True)
            self.asked.append({name: values[0] for name, values in question.items()})
            if self.is_silent:
                await reader.read()  # until the one who asks gives up
                return
            length_line = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(self.answer)
            writer.write(b"HTTP/1.1 %d X\r\n" % self.status + length_line + self.answer)
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def siteverify() -> AsyncIterator[SiteVerify]:
    """A siteverify that is well."""
    stand_in = SiteVerify()
    server = await asyncio.start_server(stand_in.serve, "127.0.0.1", 0)
    async with server:
        stand_in.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/turnstile/v0/siteverify"
        yield stand_in
