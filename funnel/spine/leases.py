"""Leases: which partitions and named duties this replica holds, kept alive by one small task.

A lease is a hint about who should work; what protects the data is the epoch in the same row, compared in every
transaction. So a replica that wakes up late can do no harm, only be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import groupby

import structlog

from funnel.errors import Conflict, DatabaseAway, TimelineChanged
from funnel.failpoints import reach
from funnel.kafka.consumer import Partition
from funnel.postgres import Database, load_queries
from funnel.spine.sharing import LeaseRow, plan
from funnel.waiting import first_of

LEASE = timedelta(seconds=3)
RENEW_SECONDS = 1.0

QUERIES = load_queries("funnel.spine.sql")
log = structlog.get_logger(__name__)


class LeaseKeeper:
    """Renews what is held, takes its fair share of the rest, and tells through `held` and `changed`.

    `held` maps (topic, partition) to the epoch under which this replica owns it.
    """

    name = "leases"

    def __init__(self, database: Database, replica: str) -> None:
        self._database = database
        self._replica = replica
        self._wake = asyncio.Event()
        self._watchers: list[Callable[[], None]] = []
        self.held: dict[Partition, int] = {}
        self._renewed_at: float | None = None

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever `held` differs from before."""
        self._watchers.append(changed)

    def holds(self, name: str) -> bool:
        """Whether this replica holds the named duty, such as `#outbox`."""
        return (name, 0) in self.held

    def ready(self) -> str | None:
        """None while Postgres answers; it may be frozen, so what counts is when it last did."""
        now = asyncio.get_running_loop().time()
        if self._renewed_at is not None and now - self._renewed_at <= LEASE.total_seconds():
            return None
        return "Postgres does not answer."

    def wake(self) -> None:
        """Look again now: another replica may have handed something over."""
        self._wake.set()

    async def add(self, partitions: Sequence[Partition]) -> None:
        """Make rows for partitions that may be seen for the first time."""
        async with self._database.transaction() as tx:
            reach("lease.add.before")
            await tx.execute(QUERIES["add_partitions"], [t for t, _ in partitions], [n for _, n in partitions])
            reach("lease.add.commit")
        reach("lease.add.after")

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the leases until `stop`. While Postgres is away `held` stays: the epoch guards it."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            self._wake.clear()
            try:
                await self._tick()
                self._renewed_at = loop.time()
            except DatabaseAway as error:
                log.warning("database_away", replica=self._replica, reason=str(error))
            except Conflict:
                log.info("leases_contended", replica=self._replica)
            await first_of(RENEW_SECONDS, self._wake, stop)

    async def release(self) -> None:
        """Give everything back, so that another replica can go on at once.

        Never raises when Postgres is away, or has changed its timeline: the leases run out by themselves.
        """
        self._set({})
        try:
            async with self._database.transaction() as tx:
                reach("lease.release.before")
                await tx.execute(QUERIES["release"], self._replica)
                await tx.execute(QUERIES["notify_leases"])
                reach("lease.release.commit")
            reach("lease.release.after")
        except (DatabaseAway, Conflict, TimelineChanged):
            return

    async def _tick(self) -> None:
        async with self._database.transaction() as tx:
            reach("lease.renew.before")
            await tx.execute(QUERIES["renew"], self._replica, LEASE)
            found = await tx.fetch(QUERIES["overview"])
            reach("lease.renew.commit")
        reach("lease.renew.after")
        rows = [LeaseRow(**row) for row in found]
        held = {(r.topic, r.partition): r.epoch for r in rows if r.owner == self._replica and r.live}
        for _, topic in groupby(rows, key=lambda row: row.topic):
            for row in plan(list(topic), self._replica):
                epoch = await self._take(row)
                if epoch is not None:
                    held[row.topic, row.partition] = epoch
        self._set(held)

    async def _take(self, row: LeaseRow) -> int | None:
        """Take one lease; None when another was faster or its owner is inside a transaction (next turn, then)."""
        try:
            async with self._database.transaction() as tx:
                await tx.execute(QUERIES["short_lock_wait"])
                reach("lease.take.before")
                epoch: int | None = await tx.fetch_value(
                    QUERIES["take"], self._replica, LEASE, row.topic, row.partition, row.epoch
                )
                reach("lease.take.commit")
            reach("lease.take.after")
        except Conflict:
            return None
        return epoch

    def _set(self, held: dict[Partition, int]) -> None:
        if held != self.held:
            log.info("leases_changed", replica=self._replica, held=len(held), before=len(self.held))
            self.held = held
            for changed in self._watchers:
                changed()
