"""Waiting for a condition instead of sleeping for a guessed time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

_POLL_SECONDS = 0.02


@overload
async def eventually(condition: Callable[[], Awaitable[T]], deadline: float = 30.0) -> T: ...
@overload
async def eventually(condition: Callable[[], T], deadline: float = 30.0) -> T: ...
async def eventually(condition: Callable[[], T | Awaitable[T]], deadline: float = 30.0) -> T:
    """Call `condition` until it returns something true, and return that.

    An AssertionError it raises means "not yet". After `deadline` seconds the last one is raised, or a new one naming
    the last value. The deadline only ends a test that would hang: it is never a statement about speed.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + deadline
    while True:
        try:
            value = condition()
            result: T = await value if inspect.isawaitable(value) else value
            failure = AssertionError(f"still {result!r} after {deadline} s")
            if result:
                return result
        except AssertionError as error:
            failure = error
        if loop.time() > give_up:
            raise failure
        await asyncio.sleep(_POLL_SECONDS)
