"""Waiting with a bound: for the first of several events, and many times at little cost."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any


async def first_of(seconds: float, *events: asyncio.Event) -> None:
    """Return when one of `events` is set, or after `seconds`."""
    if any(event.is_set() for event in events):
        return
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=None if seconds == math.inf else seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class Patience:
    """`asyncio.timeout` for many waits of the same length: one timer for all of them, not one for each.

    ```
    with patience.wait():
        await answer()
    ```
    raises TimeoutError after `seconds`, in the task that waits.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waits: deque[_Wait] = deque()  # the oldest first, so the next to end
        self._timer: asyncio.TimerHandle | None = None

    def wait(self) -> _Wait:
        """A context in which the current task may be busy for `seconds` from now on."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can wait")
        found = _Wait(task, loop.time() + self.seconds, self._forget)
        self._waits.append(found)
        if self._timer is None:
            self._timer = loop.call_at(found.until, self._look, loop)
        return found

    def _forget(self) -> None:
        """Drop the waits at the front that are over."""
        while self._waits and self._waits[0].task is None:
            self._waits.popleft()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._waits and (self._waits[0].until <= now or self._waits[0].task is None):
            self._waits.popleft().expire()
        self._timer = loop.call_at(self._waits[0].until, self._look, loop) if self._waits else None


class _Wait:
    """One use of `Patience`. Cancels its task when it expires, and turns that into a TimeoutError at its end."""

    __slots__ = ("_cancelled_before", "_ended", "_expired", "task", "until")

    def __init__(self, task: asyncio.Task[Any], until: float, ended: Callable[[], None]) -> None:
        self.task: asyncio.Task[Any] | None = task
        self.until = until
        self._ended = ended
        self._expired = False
        self._cancelled_before = task.cancelling()

    def expire(self) -> None:
        if self.task is not None:
            self._expired = True
            self.task.cancel()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        task, self.task = self.task, None
        self._ended()
        if not self._expired or task is None:
            return
        # Somebody else may have cancelled the task as well: then it stays cancelled.
        if task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            raise TimeoutError from error
