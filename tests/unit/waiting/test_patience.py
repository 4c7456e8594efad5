"""One timer bounds many waits, and cancels exactly those that took too long."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from funnel.waiting import Patience
from tests.support import eventually


async def forever() -> None:
    await asyncio.Event().wait()


async def test_what_takes_too_long_is_a_timeout() -> None:
    with pytest.raises(TimeoutError), Patience(0.001).wait():
        await forever()


async def test_what_ends_in_time_is_left_alone() -> None:
    patience = Patience(0.001)
    for _ in range(3):
        with patience.wait():
            await asyncio.sleep(0)
    await eventually(lambda: patience._timer is None)
    with pytest.raises(TimeoutError), patience.wait():
        await forever()


async def test_each_of_many_waits_has_its_own_end() -> None:
    patience, ended = Patience(0.05), []

    async def wait(number: int) -> None:
        with suppress(TimeoutError), patience.wait():
            if number % 2:
                await forever()
        ended.append(number)

    await asyncio.gather(*(wait(number) for number in range(10)))
    assert ended == [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]


async def test_an_error_inside_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError), Patience(60).wait():
        raise ZeroDivisionError


async def test_a_task_that_somebody_else_cancels_is_cancelled() -> None:
    patience, started = Patience(60), asyncio.Event()

    async def wait() -> None:
        with patience.wait():
            started.set()
            await forever()

    task = asyncio.create_task(wait())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_cancelled_while_it_takes_in_its_timeout_is_cancelled_too() -> None:
    patience = Patience(0.001)

    async def stubborn() -> None:
        with patience.wait():
            try:
                await forever()
            finally:
                tasks[0].cancel()

    tasks = [asyncio.create_task(stubborn())]
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


async def test_a_task_can_wait_again_after_a_timeout() -> None:
    patience, times = Patience(0.001), []

    async def wait() -> None:
        for _ in range(3):
            with suppress(TimeoutError), patience.wait():
                await forever()
            times.append(1)

    task = asyncio.create_task(wait())
    await eventually(lambda: len(times) == 3)
    await task
    assert task.cancelling() == 0


async def test_waits_can_be_inside_each_other() -> None:
    outer, inner = Patience(0.001), Patience(60)
    with pytest.raises(TimeoutError), outer.wait(), inner.wait():
        await forever()
    with pytest.raises(TimeoutError), inner.wait(), outer.wait():
        await forever()
