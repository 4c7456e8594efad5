from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from bench.http_load import Connection, complete

ANSWER = b'HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nContent-Length: 13\r\n\r\n{"status": 1}'


def test_a_whole_answer_gives_its_status() -> None:
    assert complete(ANSWER) == 202


def test_a_part_of_an_answer_gives_none() -> None:
    assert {complete(ANSWER[:length]) for length in range(len(ANSWER))} == {None}


async def test_an_answer_in_pieces_is_put_together_and_the_connection_goes_on() -> None:
    connection = Connection()
    connection.connection_made(Mock())
    for _ in range(2):
        asked = asyncio.ensure_future(connection.ask(b"POST"))
        await asyncio.sleep(0)
        connection.data_received(ANSWER[:20])
        connection.data_received(ANSWER[20:])
        assert await asked == 202


async def test_a_connection_that_is_lost_fails_what_was_asked_and_what_comes_after() -> None:
    connection = Connection()
    connection.connection_made(Mock())
    asked = asyncio.ensure_future(connection.ask(b"POST"))
    await asyncio.sleep(0)
    connection.connection_lost(None)
    with pytest.raises(ConnectionError):
        await asked
    with pytest.raises(ConnectionError):
        await connection.ask(b"POST")
