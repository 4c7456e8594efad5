"""Virtual time, and processes that live in it: each is an event loop that can be frozen or killed.

One thread runs every callback of every process in one order, which follows from nothing but what was asked for before.
When nothing is ready, time jumps to the next timer.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")

_CLEAN_UP_STEPS_MAX = 10_000


class Stuck(AssertionError):
    """Nothing is left that could ever happen, or what was waited for did not within the time given."""


class Timeline:
    """The one clock, in seconds from 0, and everything that is due."""

    def __init__(self) -> None:
        self.now = 0.0
        self._ready: deque[_Call] = deque()
        self._timers: list[tuple[float, int, _Call]] = []
        self._count = count()

    def process(self, name: str) -> Process:
        """A new process. What a loop has to do with sockets, threads and signals, none here has."""
        return Process(self, name)  # type: ignore[abstract]

    def soon(self, call: _Call) -> None:
        self._ready.append(call)

    def at(self, call: _Call) -> None:
        heapq.heappush(self._timers, (call.when(), next(self._count), call))

    def run(self, until: Callable[[], bool], deadline: float) -> bool:
        """Go on until `until` holds; False when virtual time reaches `deadline` before. Raises Stuck."""
        ready, timers = self._ready, self._timers
        with _in_nobodys_name():
            while not until():
                if ready:
                    call = ready.popleft()
                elif not timers:
                    raise Stuck(f"nothing is left to happen at {self.now:.3f} s")
                elif timers[0][0] > deadline:
                    self.now = max(self.now, deadline)
                    return False
                else:
                    when, _, call = heapq.heappop(timers)
                    self.now = max(self.now, when)
                call.happen()
            return True

    def drain(self, process: Process) -> None:
        """Run only what `process` has ready, until nothing of it is."""
        with _in_nobodys_name():
            for _ in range(_CLEAN_UP_STEPS_MAX):
                mine = [call for call in self._ready if call.process is process]
                if not mine:
                    return
                for call in mine:
                    self._ready.remove(call)
                    call.happen()
        raise Stuck(f"{process.name} does not come to an end")


class _Call(asyncio.TimerHandle):
    """A callback that is due. It waits while its process is frozen, and never happens when that is dead."""

    __slots__ = ("process",)

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], process: Process, context: Context
    ) -> None:
        # Not the base's own: it asks the loop whether it debugs, for every callback.
        self._when, self._callback, self._args = when, callback, args
        self._loop = self.process = process
        self._context = context
        self._cancelled = self._scheduled = False
        self._source_traceback = self._repr = None

    def cancel(self) -> None:
        self._cancelled = True
        self._callback, self._args = _nothing, ()

    def happen(self) -> None:
        """Run now, as far as the process is able to."""
        process = self.process
        if self._cancelled or process.dead:
            return
        if process.frozen:
            process.kept.append(self)
            return
        if events._get_running_loop() is not process:
            events._set_running_loop(process)
        self._context.run(self._callback, *self._args)


@contextmanager
def _in_nobodys_name() -> Iterator[None]:
    """Whoever's loop runs now, it is the same one afterwards."""
    before = events._get_running_loop()
    try:
        yield
    finally:
        events._set_running_loop(before)


def _nothing() -> None:
    """What a cancelled call does."""


class Process(asyncio.AbstractEventLoop):
    """One process on the timeline."""

    def __init__(self, timeline: Timeline, name: str) -> None:
        self._timeline = timeline
        self.name = name
        self.frozen = False
        self.dead = False
        self.dying = False
        """Being killed: nothing it still asks for reaches anybody, or takes any time."""
        self.lost = False
        """Dead without anybody being told, as when a machine loses its power."""
        self.kept: list[_Call] = []
        self.thawed_at = 0.0
        self._tasks: list[asyncio.Task[Any]] = []

    # -- what happens to it --------------------------------------------------------------------------------------

    def freeze(self) -> None:
        """It does nothing from now on, and does not know."""
        self.frozen = True

    def thaw(self) -> None:
        """It goes on where it was; what came meanwhile happens now, in order."""
        self.frozen = False
        self.thawed_at = self._timeline.now
        kept, self.kept = self.kept, []
        for call in kept:
            self._timeline.soon(call)

    def kill(self, *, lost: bool = False) -> None:
        """End it. Its tasks are cancelled so that Python forgets them; what they would still do reaches nobody."""
        self.lost = lost
        self.thaw()
        self.dying = True
        for task in self._tasks:
            task.cancel()
        self._timeline.drain(self)
        self.dead = True
        if left := [task for task in self._tasks if not task.done()]:
            raise Stuck(f"{self.name} does not come to an end: {left}")

    # -- an event loop, as far as asyncio's own parts need one ---------------------------------------------------

    def time(self) -> float:
        return self._timeline.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return self.dead

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> _Call:  # type: ignore[override]
        call = _Call(0.0, callback, args, self, context or copy_context())
        self._timeline.soon(call)
        return call

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        return self.call_at(self._timeline.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Call:
        call = _Call(when, callback, args, self, context or copy_context())
        self._timeline.at(call)
        return call

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = asyncio.Task(coro, loop=self, name=name, context=context)
        if len(self._tasks) > 64:
            self._tasks = [one for one in self._tasks if not one.done()]
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise AssertionError(f"{self.name}: {context.get('message')}") from context.get("exception")

    def run_until_complete(self, future: Coroutine[Any, Any, T]) -> T:  # type: ignore[override]
        """Run the timeline until `future` is done."""
        task = self.create_task(future)
        self._timeline.run(task.done, float("inf"))
        return task.result()
