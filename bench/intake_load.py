"""Posts prepared bodies as fast as they are answered (a closed loop).

`python -m bench.intake_load HOST PORT PATH KEY AT_ONCE BODIES RESULT`: BODIES is a file with one JSON document per
line, and AT_ONCE connections are kept alive with one request under way on each. Requests are made beforehand, answers
are judged afterwards, and there is a callback per answer instead of futures and tasks: the less time it takes, the
more is left to the service that is measured.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import uvloop

from bench.http_load import NO_ANSWER, complete


class Answer(NamedTuple):
    """What came back for one post: its status, and the text of the body."""

    status: int
    body: str


class Posted(NamedTuple):
    """How long all of it took, and an answer for each body, in their order."""

    seconds: float
    answers: list[Answer]


class Questions:
    """What is still to be asked on any connection, and what has been answered."""

    def __init__(self, requests: Sequence[bytes], connections: int) -> None:
        self.answers = [b""] * len(requests)
        self.done = asyncio.get_running_loop().create_future()
        self._left = iter(enumerate(requests))
        self._connections = connections

    def next(self) -> tuple[int, bytes] | None:
        """The number and the bytes of the next request, or None."""
        return next(self._left, None)

    def leave(self) -> None:
        """A connection was closed; the last one ends it all."""
        self._connections -= 1
        if not self._connections:
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    """Asks the next question as soon as the last one is answered."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._number = -1
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self) -> None:
        """Send the next request; hang up when there is none."""
        question = self._questions.next()
        if question is None:
            self._transport.close()
        else:
            self._number, request = question
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if complete(self._buffer) is not None:
            self._questions.answers[self._number] = self._buffer
            self._buffer = b""
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._questions.leave()


async def post_all(host: str, port: int, path: str, key: str, at_once: int, bodies: Sequence[bytes]) -> Posted:
    """Post `bodies` to `path`, `at_once` of them at a time. A post without a whole answer has status NO_ANSWER."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/json\r\ncontent-length: "
    ).encode()
    questions = Questions([b"%b%d\r\n\r\n%b" % (head, len(body), body) for body in bodies], at_once)
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: Connection(questions), host, port) for _ in range(at_once)]
    started = time.perf_counter()
    for _, connection in opened:
        connection.ask()
    await questions.done
    return Posted(time.perf_counter() - started, [_told(answer) for answer in questions.answers])


def _told(answer: bytes) -> Answer:
    return Answer(complete(answer) or NO_ANSWER, answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace"))


def read(result: Path) -> Posted:
    """The result that another process has left."""
    return msgspec.json.decode(result.read_bytes(), type=Posted)


def main() -> None:
    """The whole process."""
    host, port, path, key, at_once, bodies, result = sys.argv[1:]
    lines = Path(bodies).read_bytes().splitlines()
    posted = uvloop.run(post_all(host, int(port), path, key, int(at_once), lines))
    Path(result).write_bytes(msgspec.json.encode(posted))


if __name__ == "__main__":
    main()
