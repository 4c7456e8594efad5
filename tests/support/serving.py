"""A built service served in this process, as `funnel.runtime` serves it in its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from funnel import runtime
from funnel.runtime import Application
from tests.support.eventually import eventually

# Longer than any service's own deadline, so that a test sees the answer and not its own impatience.
TIMEOUT_SECONDS = 60.0


@asynccontextmanager
async def serving(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    """A client of `application`, which answers, without a connection yet; stopped as SIGTERM does in the end."""
    stop, url = asyncio.Event(), f"http://{application.host}:{application.port}"
    task = asyncio.create_task(runtime.serve(application, stop))
    try:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as first:
            await eventually(lambda: answers(first))
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            yield client
    finally:
        stop.set()
        await task


async def answers(client: httpx.AsyncClient) -> bool:
    """Whether the process serves HTTP."""
    try:
        return (await client.get("/livez")).status_code == 200
    except httpx.TransportError:
        return False
