"""Gives held leads away when somebody can take them: a rep came back, was added, or may have more leads at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from funnel.clock import Clock
from funnel.errors import Conflict, DatabaseAway
from funnel.failpoints import reach
from funnel.postgres import Database
from funnel.spine import outbox
from funnel.telemetry import Sample, Totals
from funnel.waiting import first_of
from services.routing import store
from services.routing.handlers import RoutingHandler
from services.routing.settings import RELEASE_SECONDS, TELL_SECONDS

log = structlog.get_logger(__name__)


class HeldReleaser:
    """A worker that drains the pools in which a held lead and a free slot meet.

    Outcomes that free a slot drain the pool themselves; this is for what people change, and a safety net each second.
    Every replica may have one: the pool's lock puts them in order.
    """

    name = "held-releaser"

    def __init__(
        self,
        database: Database,
        handler: RoutingHandler,
        clock: Clock,
        published: Callable[[], None],
        totals: Totals,
        exports: Callable[[], bool],
    ) -> None:
        self._database = database
        self._handler = handler
        self._clock = clock
        self._published = published
        self._totals = totals
        self._exports = exports
        self._woken = asyncio.Event()
        self._tell_at = 0.0

    def wake(self) -> None:
        """Look now: a rep or a pool was changed."""
        self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Release until `stop`. While Postgres is away the leads stay held."""
        try:
            while not stop.is_set():
                self._woken.clear()
                try:
                    await self.release()
                    await self._tell()
                except (DatabaseAway, Conflict) as error:
                    log.warning("held_leads_not_looked_at", reason=str(error))
                    self._totals.withdraw(self)
                await first_of(RELEASE_SECONDS, self._woken, stop)
        finally:
            self._totals.withdraw(self)

    async def release(self) -> int:
        """Drain every pool until nobody can take any of its held leads; returns how many were given away."""
        async with self._database.transaction() as tx:
            pools = await store.pools_to_drain(tx)
        released = 0
        for pool in pools:
            while count := await self._drain(pool):
                released += count
        return released

    async def _drain(self, pool: str) -> int:
        """One transaction: the pool and its reps locked, then as many held leads as may find a rep."""
        async with self._database.transaction() as tx:
            known = await self._handler.load(tx, await self._handler.lock_pool(tx, pool))
            decision = self._handler.decide(known, (), self._clock.now())
            await self._handler.save(tx, decision)
            await outbox.put(tx, decision.outgoing)
            if decision.outgoing:
                await outbox.announce(tx)
                reach("releaser.commit.before")
        if decision.outgoing:
            reach("releaser.commit.after")
            self._published()
            log.info("held_leads_released", pool=pool, leads=len(decision.changes.assignments))
        return len(decision.changes.assignments)

    async def _tell(self) -> None:
        if not self._exports():
            self._totals.withdraw(self)
            return
        now = asyncio.get_running_loop().time()
        if now < self._tell_at:
            return
        self._tell_at = now + TELL_SECONDS
        async with self._database.transaction() as tx:
            rows = await store.totals(tx)
        samples = [_sample(row["kind"], row["pool"], row["reason"], row["count"]) for row in rows]
        self._totals.publish(self, samples)


def _sample(kind: str, pool: str, reason: str, count: int) -> Sample:
    if kind == "held":
        return Sample("funnel_held_leads", {"pool": pool, "reason": reason}, count)
    return Sample("funnel_waiting_outcomes", {}, count)
