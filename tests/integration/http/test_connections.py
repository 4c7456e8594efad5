"""Clients that are slow, rude or many, over real sockets, on a server started as every service starts it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from funnel.embedded.ports import free_port
from funnel.http import Api, create_app, protocol
from funnel.runtime import Application
from tests.support import eventually
from tests.support.raw_http import RawClient, connected
from tests.support.serving import answers, serving


async def _ready() -> Mapping[str, str]:
    return {}


def an_app() -> Api:
    app = create_app("Test", ready=_ready, version="1")

    @app.post("/lengths")
    async def length(words: list[str]) -> int:
        return len(words)

    return app


@asynccontextmanager
async def at_a_port(app: Api) -> AsyncIterator[int]:
    """The port at which `app` is served; stopped as SIGTERM does, when the block is left."""
    application = Application("test", app, [], "127.0.0.1", free_port())
    async with serving(application):
        yield application.port


async def refused(client: RawClient) -> tuple[int, str]:
    """Status and reason of the next answer, which has to be the last."""
    answer = await client.answer()
    assert answer.is_last
    assert await client.closed()
    return answer.status, answer.problem


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with at_a_port(an_app()) as port:
        yield port


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    for name in ("HEAD_SECONDS_MAX", "BODY_SECONDS_MAX"):
        monkeypatch.setattr(protocol, name, 0.5)


async def test_a_client_that_goes_on_sending_still_gets_to_read_why_it_is_refused(port: int) -> None:
    """Closing at once would reset the connection, and the answer would be lost with it."""
    for _ in range(20):
        async with connected(port) as client:
            await client.send(b"GET / HTTP/1.1\r\nCookie: " + b"c" * 2_000_000)
            assert await refused(client) == (431, "head-too-large")


@pytest.mark.usefixtures("hasty")
async def test_slow_heads_end_with_408_and_keep_nobody_else_from_being_served(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as ordinary:
        async with AsyncExitStack() as stack:
            slow = []
            for _ in range(200):
                slow.append(client := await stack.enter_async_context(connected(port)))
                await client.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n")  # at once: silence has a deadline too
            assert await eventually(lambda: answers(ordinary))
            for client in slow:
                assert await refused(client) == (408, "slow-head")
        assert await eventually(lambda: answers(ordinary))


@pytest.mark.usefixtures("hasty")
async def test_a_body_that_trickles_to_an_ordinary_endpoint_ends_with_408(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(port) as client:
        await client.send(b"POST /lengths HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n[")

        async def trickle() -> None:
            while True:
                await client.send(b" ")
                await asyncio.sleep(0.01)

        trickling = asyncio.create_task(trickle())
        assert await refused(client) == (408, "slow-body")
        trickling.cancel()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.usefixtures("hasty")
async def test_a_body_that_goes_on_after_its_answer_is_not_read_for_ever(port: int) -> None:
    async with connected(port) as client:
        await client.send(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n[")
        assert (await client.answer()).status == 404
        assert await client.closed()


async def test_a_client_that_hangs_up_in_its_body_leaves_no_trace_in_the_log(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with connected(port) as client:
        await client.send(b"POST /lengths HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n[")
        await client.send(b" " * 1000)
    async with connected(port) as client:
        await client.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).status == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_answers_come_in_the_order_of_the_requests_sent_ahead(port: int) -> None:
    posts = [json.dumps(["x"] * number).encode() for number in range(50)]
    head = b"POST /lengths HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    async with connected(port) as client:
        await client.send(b"".join(head % (len(body), body) for body in posts))
        assert [(await client.answer()).json for _ in posts] == list(range(50))


async def test_stopping_does_not_wait_for_those_who_have_not_asked_yet() -> None:
    async with AsyncExitStack() as stack:
        async with at_a_port(an_app()) as port:
            silent, slow = [await stack.enter_async_context(connected(port)) for _ in range(2)]
            await slow.send(b"GET /livez HTTP/1.1\r\nHo")
        assert await silent.closed()
        assert await slow.closed()
