"""A real browser, and a small site of pages for it to visit, in whatever charset they are written."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--accept-lang=ja",
)
_PATIENCE = "--virtual-time-budget=20000"  # the page's own clock: it stands still while a request is under way


class Site:
    """Pages by path; each is served as the bytes it is given as."""

    def __init__(self) -> None:
        self.origin = ""
        self.pages: dict[str, bytes] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        else:
            page = self.pages.get(request.split(b" ")[1].decode().partition("?")[0])
            status, page = (b"404 Not Found", b"") if page is None else (b"200 OK", page)
            head = b"HTTP/1.1 %b\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            writer.write(head % (status, len(page)) + page)
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """A site on a loopback port, without pages yet."""
    started = Site()
    server = await asyncio.start_server(started.serve, "127.0.0.1", 0)
    async with server:
        started.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield started


def form_page(action: str, fields: dict[str, str], charset: str, codec: str, *, script: str = "send.click()") -> bytes:
    """A page in `charset` with a form of `fields`, which a visitor sends at once."""
    inputs = "".join(f'<input name="{escape(name)}" value="{escape(text)}">' for name, text in fields.items())
    return (
        f'<!DOCTYPE html><html lang="ja"><head><meta charset="{charset}"><title>form</title></head><body>'
        f'<form method="post" action="{escape(action)}">{inputs}<button id="send">送信</button></form>'
        f"<script>onload = () => {{ {script} }}</script></body></html>"
    ).encode(codec, "xmlcharrefreplace")


async def visit(url: str) -> str:
    """What a browser shows in the end that opens `url`, as HTML."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", _PATIENCE, "--dump-dom", url),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return out.decode("utf-8", "replace")
