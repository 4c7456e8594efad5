"""The spool: a table in Postgres that takes records while Kafka does not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from funnel.errors import FunnelError
from funnel.failpoints import reach
from funnel.kafka.producer import ProducerRecord
from funnel.postgres import Database, Transaction
from funnel.postgres.checks import assert_durable, assert_migrated
from services.ingest.domain import limits
from services.ingest.store import spool as store
from services.ingest.store.bounded import bounded
from services.ingest.store.spool import Row, Waiting

TABLES: Final = ("spool", "spool_account")

CLAIM: Final = timedelta(seconds=30)
"""How long the rows of a process that died in the middle wait for another; far longer than publishing them takes."""

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
PENDING_BYTES_MAX: Final = 64 * 1024 * 1024
"""What may wait for Postgres in memory; beyond it nothing more is taken."""


class SpoolAway(FunnelError):
    """The records are not known to be in the spool."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """The records of one `put`, and who waits for them."""

    rows: Sequence[Row]
    size: int
    done: asyncio.Future[None]


class Spool:
    """Takes records in and hands them out again.

    Those of requests that come at the same time are put in together, by one transaction after the other: a flood of
    requests needs one connection, and shares what a commit costs.
    """

    def __init__(self, database: Database, *, replica: str, topic_prefix: str, waive_replication: bool) -> None:
        """`database` is opened durable and may be away (`Database.lazy`)."""
        self._database = database
        self._replica = replica
        self._prefix = topic_prefix
        self._waive_replication = waive_replication
        self._queue: deque[_Entry] = deque()
        self._pending_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self.filled = asyncio.Event()
        """Set whenever records were put in; whoever waits for it clears it."""

    async def check(self) -> None:
        """Postgres has the tables and keeps what it commits. Raises FunnelError, UnsafeSettings among them."""
        async with self._transaction() as tx:
            await assert_durable(tx, waive_replication=self._waive_replication)
            await assert_migrated(tx, TABLES)

    async def put(self, records: Sequence[ProducerRecord]) -> None:
        """Return when all of `records` survive a crash of any one server. Raises SpoolAway.

        A caller that stops waiting gets nothing put in later, except what Postgres has in hand at that moment.
        """
        size = sum(record.size() for record in records)
        if self._pending_bytes + size > PENDING_BYTES_MAX:
            raise SpoolAway("Too much is waiting for Postgres already.")
        rows = [Row(r.topic.removeprefix(self._prefix), r.key, r.headers, r.value) for r in records]
        entry = _Entry(rows, size, asyncio.get_running_loop().create_future())
        self._queue.append(entry)
        self._pending_bytes += size
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="spool writer")
        try:
            async with asyncio.timeout(limits.SPOOL_SECONDS_MAX):
                await entry.done
        except TimeoutError:
            raise SpoolAway(f"Postgres did not answer within {limits.SPOOL_SECONDS_MAX:g} s.") from None

    async def claim(self, most: int, after: int = 0) -> Mapping[int, ProducerRecord]:
        """Up to `most` of the oldest records with an id above `after`, by id; for CLAIM nobody else gets them.

        Raises FunnelError.
        """
        async with self._transaction() as tx:
            reach("spool.claim.before")
            rows = await store.claim(tx, self._replica, CLAIM, most, BATCH_BYTES, after)
            reach("spool.claim.commit")
        reach("spool.claim.after")
        return {id_: ProducerRecord(self._prefix + r.topic, r.key, r.value, r.headers) for id_, r in rows.items()}

    async def forget(self, ids: Sequence[int]) -> None:
        """The records are published. Raises FunnelError; then do it again, which does no harm."""
        async with self._transaction() as tx:
            reach("spool.forget.before")
            await store.forget(tx, self._replica, ids)
            reach("spool.forget.commit")
        reach("spool.forget.after")

    async def release(self, ids: Sequence[int]) -> None:
        """The records could not be published: others may claim them at once. Raises FunnelError."""
        async with self._transaction() as tx:
            reach("spool.release.before")
            await store.release(tx, self._replica, ids)
            reach("spool.release.commit")
        reach("spool.release.after")

    async def waiting(self) -> Waiting:
        """What is in the spool. Raises FunnelError."""
        async with self._transaction() as tx:
            return await store.waiting(tx)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        """A transaction that is given up when the server is frozen or cut off. Raises FunnelError."""
        async with bounded(limits.SPOOL_SECONDS_MAX), self._database.transaction() as tx:
            yield tx

    async def _write(self) -> None:
        """Put in what waits, until nothing does."""
        try:
            while entries := self._take():
                try:
                    await self._put([row for entry in entries for row in entry.rows])
                except FunnelError as error:
                    _settle(entries, str(error))
                except BaseException:
                    _settle(entries, "Putting the records in was broken off.")
                    raise
                else:
                    _settle(entries, None)
                    self.filled.set()
        finally:
            self._writer = None

    def _take(self) -> list[_Entry]:
        """The entries of the next transaction; those that nobody waits for any more are dropped."""
        entries: list[_Entry] = []
        rows = size = 0
        while self._queue and (not entries or (rows < BATCH_ROWS and size + self._queue[0].size <= BATCH_BYTES)):
            entry = self._queue.popleft()
            self._pending_bytes -= entry.size
            if not entry.done.done():
                entries.append(entry)
                rows += len(entry.rows)
                size += entry.size
        return entries

    async def _put(self, rows: Sequence[Row]) -> None:
        """Ask in the same transaction whether Postgres keeps what it commits: settings change while we run."""
        async with self._transaction() as tx:
            await assert_durable(tx, waive_replication=self._waive_replication)
            reach("spool.put.before")
            await store.put(tx, self._replica, rows)
            reach("spool.put.commit")
        reach("spool.put.after")


def _settle(entries: Sequence[_Entry], trouble: str | None) -> None:
    for entry in entries:
        if entry.done.done():
            continue
        if trouble is None:
            entry.done.set_result(None)
        else:
            entry.done.set_exception(SpoolAway(trouble))
