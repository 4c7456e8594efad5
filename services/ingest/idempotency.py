"""Idempotency-Key: a request that is sent again gets the answer it got before, and its work is not done twice.

Postgres being away is no reason to refuse: then the work is done without remembering it. What keeps a repeat from
having a second effect are the ids, which follow from the key; this spares the work and repeats the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from funnel.errors import FunnelError
from funnel.failpoints import reach
from funnel.http import HttpProblem
from funnel.ids import new_event_id
from funnel.postgres import Database, Transaction
from funnel.waiting import first_of
from services.ingest.domain import limits
from services.ingest.store import idempotency as store
from services.ingest.store.bounded import bounded
from services.ingest.store.idempotency import Found, Kept, Request
from services.ingest.wire import Answer

GIVEN_UP: Final = timedelta(seconds=60)
"""Work that was begun longer ago has died with its process: every request is answered sooner."""

FORGOTTEN: Final = timedelta(hours=24)
PRUNE_SECONDS = 600.0
PRUNE_ROWS: Final = 1000
CONNECTIONS: Final = 8
"""Transactions at the same time; a flood of requests must not use up Postgres' connections."""

LASTING: Final = frozenset({400, 413, 415, 422})
"""Refusals of the request itself. Of all others another attempt may be answered differently."""

REPLAYED: Final = {b"idempotent-replayed": b"true"}

log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[Answer]]


class Idempotency:
    """Remembers answers for FORGOTTEN. Also a worker, which deletes what is older."""

    name = "idempotency"

    def __init__(self, database: Database) -> None:
        """`database` may be away (`Database.lazy`)."""
        self._database = database
        self._turns = asyncio.Semaphore(CONNECTIONS)

    async def once(self, *, source: str, path: str, key: str, fingerprint: bytes, work: Work) -> Answer:
        """The answer of `work`, or the one that an earlier request with this key got.

        Raises HttpProblem: 409 while the earlier request is at work, 422 when it had another `fingerprint`; and what
        `work` raises. Then, as after an answer that may change, the key is free again.
        """
        request, attempt = Request(source, path, key), new_event_id()
        try:
            found = await self._begin(request, fingerprint, attempt)
        except FunnelError as error:
            log.warning("not_remembered", reason=str(error))
            return await work()
        if found is None:
            return await self._work(request, attempt, work)
        if found.fingerprint != fingerprint:
            raise _reused()
        if found.answer is None:
            raise _in_progress()
        kept = found.answer
        headers = {name.encode(): value for name, value in kept.headers}
        return Answer(kept.status, kept.body, {**headers, **REPLAYED}, kept.content_type)

    async def run(self, stop: asyncio.Event) -> None:
        """Forget what is old, a little at a time, until `stop` is set."""
        while not stop.is_set():
            pruned = 0
            try:
                pruned = await self.prune()
            except FunnelError as error:
                log.warning("idempotency_keys_not_pruned", reason=str(error))
            await first_of(0.0 if pruned == PRUNE_ROWS else PRUNE_SECONDS, stop)

    async def prune(self) -> int:
        """Delete at most PRUNE_ROWS forgotten requests; returns how many. Raises FunnelError."""
        async with self._transaction() as tx:
            reach("idempotency.prune.before")
            pruned = await store.prune(tx, FORGOTTEN, PRUNE_ROWS)
            reach("idempotency.prune.commit")
        reach("idempotency.prune.after")
        return pruned

    async def _begin(self, request: Request, fingerprint: bytes, attempt: str) -> Found | None:
        """The earlier use of the key that stands; None when it is ours now, and that is committed."""
        while True:
            async with self._transaction() as tx:
                reach("idempotency.begin.before")
                is_ours = await store.begin(tx, request, fingerprint, attempt, GIVEN_UP, FORGOTTEN)
                reach("idempotency.begin.commit")
            reach("idempotency.begin.after")
            if is_ours:
                return None
            # A new transaction: the use that was in the way may have been committed after the first one's snapshot.
            async with self._transaction() as tx:
                if found := await store.find(tx, request):
                    return found

    async def _work(self, request: Request, attempt: str, work: Work) -> Answer:
        answer: Answer | None = None
        try:
            answer = await work()
            return answer
        finally:
            await self._settle(request, attempt, answer)

    async def _settle(self, request: Request, attempt: str, answer: Answer | None) -> None:
        """Keep the answer, or free the key. If that fails, the key is taken until GIVEN_UP: then the work is redone."""
        try:
            if answer is None or not _is_final(answer):
                await self._drop(request, attempt)
            else:
                await self._keep(request, attempt, answer)
        except FunnelError as error:
            log.warning("answer_not_remembered", reason=str(error))

    async def _drop(self, request: Request, attempt: str) -> None:
        async with self._transaction() as tx:
            reach("idempotency.drop.before")
            await store.drop(tx, request, attempt)
            reach("idempotency.drop.commit")
        reach("idempotency.drop.after")

    async def _keep(self, request: Request, attempt: str, answer: Answer) -> None:
        headers = [(name.decode(), value) for name, value in answer.headers.items()]
        kept = Kept(answer.status, answer.content_type, headers, answer.body)
        async with self._transaction() as tx:
            reach("idempotency.keep.before")
            await store.keep(tx, request, attempt, kept)
            reach("idempotency.keep.commit")
        reach("idempotency.keep.after")

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        async with bounded(limits.REMEMBER_SECONDS_MAX), self._turns, self._database.transaction() as tx:
            yield tx


def _is_final(answer: Answer) -> bool:
    return answer.settled and (answer.status < 400 or answer.status in LASTING)


def _reused() -> HttpProblem:
    detail = "The Idempotency-Key was used for another request; a new request needs a new key."
    return HttpProblem(422, "idempotency-key-reused", "Idempotency-Key reused", detail)


def _in_progress() -> HttpProblem:
    detail = "The request with this Idempotency-Key is being worked on; ask again for its answer."
    headers = {"Retry-After": str(limits.RETRY_AFTER_SECONDS)}
    return HttpProblem(409, "idempotency-in-progress", "In progress", detail, headers=headers)
