"""Sending on a schedule, whatever becomes of what was sent before: a slow answer never slows the questions.

Latencies are counted from the moment on the schedule, so a stall shows in everything that was due during it
(no coordinated omission). Times are those of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec

ACCEPTED = 202
"""The status of what was accepted, over HTTP and elsewhere."""

_LEAD_SECONDS = 0.2
"""Between making the schedule and its first moment."""


class Sent(NamedTuple):
    """What became of one thing on the schedule: when it was due, when it left, when it was answered, and how."""

    due: float
    left: float
    answered: float
    status: int


async def send_on_schedule(send: Callable[[int], Awaitable[int]], rate: float, count: int) -> list[Sent]:
    """Call `send` with 0 to `count` - 1, at `rate` per second; it returns a status. Returns when all are answered."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Sent]] = []

    async def one(number: int, due: float) -> Sent:
        left = time.monotonic()
        status = await send(number)
        return Sent(due, left, time.monotonic(), status)

    def fire(number: int, due: float) -> None:
        tasks.append(loop.create_task(one(number, due)))

    def tick() -> None:  # in a thread, since an event loop's own timers are a millisecond late
        start = time.monotonic() + _LEAD_SECONDS
        for number in range(count):
            due = start + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            loop.call_soon_threadsafe(fire, number, due)

    with ThreadPoolExecutor(1) as thread:
        await loop.run_in_executor(thread, tick)
    await asyncio.sleep(0)  # let the last one be fired
    return list(await asyncio.gather(*tasks))


def write(path: Path, sent: list[Sent]) -> None:
    """Leave the result for another process, whole or not at all."""
    staging = path.with_suffix(".unfinished")
    staging.write_bytes(msgspec.json.encode(sent))
    staging.rename(path)


def read(path: Path) -> list[Sent] | None:
    """The result, or None while there is none."""
    return msgspec.json.decode(path.read_bytes(), type=list[Sent]) if path.exists() else None
