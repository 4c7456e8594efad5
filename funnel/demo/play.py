"""Posting the journeys and replies, as browsers and sales tools would: again under the same id until a 202."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import httpx

from funnel.demo.journeys import Journey, Post
from funnel.demo.replies import SALES_TOOL, Reply
from funnel.errors import FunnelError

EVENTS = "/v1/events"
OUTCOMES = "/v1/outcomes"

AT_ONCE = 8
"""Journeys under way at the same time."""

REQUEST_TIMEOUT = 15.0
FIRST_DELAY = 0.1
LONGEST_DELAY = 2.0
ATTEMPTS = 60
"""Attempts for one post before the demo gives up: well over a minute of an ingest that is away."""

Progress = Callable[[], None]
_T = TypeVar("_T")


class PostFailed(FunnelError):
    """Ingest refused a post of the demo, or did not answer it."""


class Player:
    """Posts to ingest and counts the 202 answers, and the attempts of which nobody knows whether they were stored."""

    def __init__(self, client: httpx.AsyncClient, advance: Progress) -> None:
        """`client` has ingest's base URL; `advance` is called after each 202."""
        self._client = client
        self._advance = advance
        self.answered = {EVENTS: 0, OUTCOMES: 0}
        self.unknown = {EVENTS: 0, OUTCOMES: 0}

    async def play(self, journeys: Iterable[Journey], wave: int) -> None:
        """Post everything of one wave: journeys side by side, the posts of one in order. Raises PostFailed."""
        await _side_by_side(self._walk, [[p for p in journey.posts if p.wave == wave] for journey in journeys])

    async def answer(self, replies: Sequence[Reply]) -> None:
        """Post what the reps report. Raises PostFailed."""
        await _side_by_side(self._report, replies)

    async def _walk(self, posts: Sequence[Post]) -> None:
        for post in posts:
            for _ in range(post.times):
                await self._send(EVENTS, post.source, post.body)

    async def _report(self, reply: Reply) -> None:
        for outcome, times in reply.outcomes:
            for _ in range(times):
                await self._send(OUTCOMES, SALES_TOOL, outcome)

    async def _send(self, path: str, source: str, body: Mapping[str, Any]) -> None:
        delay, reason = FIRST_DELAY, ""
        for _ in range(ATTEMPTS):
            try:
                answer = await self._client.post(path, params={"source": source}, json=body, timeout=REQUEST_TIMEOUT)
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
            else:
                if answer.status_code == 202:
                    self.answered[path] += 1
                    self._advance()
                    return
                reason = f"{answer.status_code} {answer.text}"
                if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
                    break
            self.unknown[path] += 1
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)
        raise PostFailed(f"Ingest did not take {source}/{body['event_id']}: {reason}")


async def _side_by_side(work: Callable[[_T], Awaitable[None]], pieces: Iterable[_T]) -> None:
    """Do the work on each piece, AT_ONCE of them at a time; the first failure ends all."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(piece: _T) -> None:
        async with places:
            await work(piece)

    tasks = [asyncio.create_task(one(piece)) for piece in pieces]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
