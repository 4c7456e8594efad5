"""What is still going on when a process ends: nothing, once `serve` has returned."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx
import pytest

from funnel import runtime
from funnel.embedded.ports import free_port
from funnel.errors import FunnelError
from funnel.http import create_app
from tests.support import eventually
from tests.support.serving import answers


async def _ready() -> Mapping[str, str]:
    return {}


class Work:
    """A request that ends only when it is cancelled, and has things to do then."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = False

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(1000):
                await asyncio.sleep(0)
            self.ended = True


async def test_a_request_that_takes_too_long_has_ended_before_anything_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runtime, "DRAIN_SECONDS", 0.1)
    app, work, stop, port = create_app("Test", ready=_ready, version="1"), Work(), asyncio.Event(), free_port()
    app.get("/work")(work.__call__)
    application = runtime.Application("test", app, [], "127.0.0.1", port)
    serving = asyncio.create_task(runtime.serve(application, stop))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=None) as client:
        await eventually(lambda: answers(client))
        request = asyncio.create_task(client.get("/work"))
        await work.begun.wait()
        stop.set()
        await serving
        assert work.ended
        await asyncio.gather(request, return_exceptions=True)


class Quitter:
    """A worker that ends by itself: as one does whose client cancels what it waits for."""

    name = "quitter"

    def __init__(self, *, cancelled: bool) -> None:
        self._cancelled = cancelled

    async def run(self, _: asyncio.Event) -> None:
        if self._cancelled:
            raise asyncio.CancelledError


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_worker_that_ends_before_it_is_told_to_ends_the_process_loudly(cancelled: bool) -> None:
    app = create_app("Test", ready=_ready, version="1")
    application = runtime.Application("test", app, [Quitter(cancelled=cancelled)], "127.0.0.1", free_port())
    with pytest.raises(FunnelError, match=r"^quitter of test ended though nobody had asked\.$"):
        await runtime.serve(application, asyncio.Event())
