from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bench.http_load import NO_ANSWER
from bench.intake_load import Answer, post_all

REQUEST = re.compile(rb"(POST .*?\r\n\r\n)(\{.*?\})", re.DOTALL)


@asynccontextmanager
async def serving(answer: Callable[[bytes, bytes], bytes]) -> AsyncIterator[int]:
    """A server that answers each request (head, body), or hangs up for b""; the value is its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            found = REQUEST.fullmatch(data)
            assert found is not None
            if not (told := answer(found[1], found[2])):
                break
            for at in range(0, len(told), 20):  # in pieces, as a network may
                writer.write(told[at : at + 20])
                await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def echo(_: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize("at_once", [1, 3, 8])
async def test_every_body_gets_its_own_answer_however_many_are_under_way(at_once: int) -> None:
    bodies = [b'{"n": %d}' % number for number in range(20)]
    async with serving(echo) as port:
        posted = await post_all("127.0.0.1", port, "/v1/events", "key", at_once, bodies)
    assert posted.answers == [Answer(202, body.decode()) for body in bodies]
    assert posted.seconds > 0


async def test_a_request_brings_its_path_and_the_key() -> None:
    heads: list[bytes] = []

    def note(head: bytes, body: bytes) -> bytes:
        heads.append(head)
        return echo(head, body)

    async with serving(note) as port:
        await post_all("127.0.0.1", port, "/v1/events/batch", "fsk_1", 1, [b"{}"])
    assert heads[0].startswith(b"POST /v1/events/batch HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer fsk_1\r\n" in heads[0]


async def test_what_a_lost_connection_leaves_unanswered_is_told() -> None:
    def only_first(head: bytes, body: bytes) -> bytes:
        return echo(head, body) if body == b'{"n": 0}' else b""

    async with serving(only_first) as port:
        posted = await post_all("127.0.0.1", port, "/", "key", 1, [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}'])
    assert [answer.status for answer in posted.answers] == [202, NO_ANSWER, NO_ANSWER]
