"""Load from outside: requests leave when they are due, whatever became of the ones before, and each item is sent again
under its id until there is a final answer. Every item of every request is a line of the history.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

import httpx

from chaos.answers import FINAL, UNKNOWN, Told, told
from chaos.history import History
from chaos.traffic import Item, Request, Way

AT_ONCE: Final = 48
"""Requests on the wire at the same time; those beyond wait for a place."""

WAITING_MAX: Final = 4000
"""Requests that may wait for a final answer; beyond, new ones leave late."""

AFTER_PLAN_SHARE: Final = 0.25
"""Of the rate, once the plan is sent and the fault still lasts."""

REQUEST_SECONDS: Final = 10.0
FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 3.0
SALES_EVERY_SECONDS: Final = 1.0
_CATCH_UP_SECONDS: Final = 1.0
"""A generator that was held up sends what it missed in so long, and no more, all at once."""


class Sales(Protocol):
    """Where outcomes come from."""

    def look(self) -> list[list[Item]]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """At least `events` items at `rate` in a second, and on until the fault is over; `seed` is for delays."""

    events: int
    rate: float
    seed: int


class Load:
    """One load. `urls` are those of the ingest processes that take turns."""

    def __init__(
        self, plan: Plan, requests: Iterator[Request], urls: Sequence[str], client: httpx.AsyncClient, history: History
    ) -> None:
        self._plan = plan
        self.planned = plan.events
        self._requests = requests
        self._urls = itertools.cycle(urls)
        self._client = client
        self._history = history
        self._random = Random(f"load/{plan.seed}")
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting: set[asyncio.Task[None]] = set()
        self._broken: list[BaseException] = []
        self._giving_up = False
        self.sent = self.answered = 0
        """Events that were sent at least once, events and outcomes with a final answer."""
        self.unanswered: list[Item] = []
        """Items that were given up."""
        self.statuses: Counter[str] = Counter()
        """Requests by what came back: a status, or the name of the error."""
        self.last_accepted_at = 0.0
        """Unix time of the last 202."""

    async def send(self, fault_is_over: asyncio.Event) -> None:
        """Send the plan, then go on until the fault is over or there is nothing more to send; returns with the last
        requests on their way."""
        clock = asyncio.get_running_loop().time
        due = clock()
        for request in self._requests:
            if self.sent >= self._plan.events and fault_is_over.is_set():
                return
            await asyncio.sleep(max(0.0, due - clock()))
            while len(self._waiting) >= WAITING_MAX:
                await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)
            rate = self._plan.rate if self.sent < self._plan.events else self._plan.rate * AFTER_PLAN_SHARE
            due = max(due, clock() - _CATCH_UP_SECONDS) + len(request.items) / rate
            self.sent += len(request.items)
            self._spawn(self.deliver(request))

    async def sell(self, sales: Sales) -> None:
        """Report what becomes of the leads that are assigned, until cancelled."""
        while True:
            for reports in await asyncio.to_thread(sales.look):
                self._spawn(self._report(reports))
            await asyncio.sleep(SALES_EVERY_SECONDS)

    async def settle(self, seconds: float) -> None:
        """Wait until everything that was sent by now has its final answer, no longer than that."""
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=seconds)

    async def drain(self, seconds: float) -> None:
        """The same, and give up what has none then: it is listed in `unanswered`.

        Raises what went wrong with a request, apart from answers.
        """
        await self.settle(seconds)
        self._giving_up = True
        while self._waiting:
            await asyncio.wait(self._waiting)
        if self._broken:
            raise self._broken[0]

    async def cancel(self) -> None:
        """Stop at once."""
        for task in (tasks := list(self._waiting)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def reached(self, share: float) -> None:
        """Return when this share of the planned events was sent."""
        while self.sent < share * self._plan.events:  # noqa: ASYNC110 - counted with every request, asked rarely
            await asyncio.sleep(0.05)

    async def _report(self, reports: Sequence[Item]) -> None:
        """The reports about one lead, each after the answer to the one before."""
        for item in reports:
            await self.deliver(Request(Way.OUTCOMES, (item,)))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._waiting.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._waiting.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._broken.append(error)

    async def deliver(self, request: Request) -> None:
        """Send a request, and what of it is not settled again, until everything is or it is given up."""
        delay = FIRST_DELAY
        while True:
            async with self._places:
                words = await self._attempt(request)
            left = tuple(item for item, word in zip(request.items, words, strict=True) if word.result not in FINAL)
            self.answered += len(request.items) - len(left)
            if not left:
                return
            if self._giving_up:
                self.unanswered.extend(left)
                return
            await asyncio.sleep(delay * (0.5 + self._random.random()))
            delay = min(2 * delay, LONGEST_DELAY)
            request = Request(request.way, left)

    async def _attempt(self, request: Request) -> list[Told]:
        url, sent_at = next(self._urls), time.time()
        status: int | None = None
        try:
            answer = await self._client.post(
                url + request.path,
                params={"source": request.source},
                content=request.content,
                headers={"content-type": request.content_type},
            )
        except httpx.TransportError as error:
            self.statuses[type(error).__name__] += 1
            words = [UNKNOWN] * len(request.items)
        else:
            status = answer.status_code
            self.statuses[str(status)] += 1
            words = told(len(request.items), status, answer.content)
        answered_at = None if status is None else time.time()
        if answered_at and any(word.result == "accepted" for word in words):
            self.last_accepted_at = answered_at
        for item, word in zip(request.items, words, strict=True):
            self._history.answer(_line(item, word, sent_at, answered_at, status))
        return words


def _line(item: Item, word: Told, sent_at: float, answered_at: float | None, status: int | None) -> dict[str, object]:
    return {
        "kind": item.kind,
        "source": item.source,
        "event_id": item.event_id,
        "person": item.person,
        "type": item.type,
        "body": item.digest,
        "sent_at": sent_at,
        "answered_at": answered_at,
        "status": status,
        "result": word.result,
        "answer_id": word.answer_id,
    }


@asynccontextmanager
async def connected() -> AsyncIterator[httpx.AsyncClient]:
    """A client with as many connections as requests may be on the wire."""
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(timeout=REQUEST_SECONDS, limits=limits, trust_env=False) as client:
        yield client
