"""The sources and keys in force, kept in memory, so that intake goes on while Postgres is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from funnel.postgres import Database, Listener
from funnel.waiting import first_of
from services.ingest.domain.access import EMPTY, Book, HeldKey
from services.ingest.store import sources as store

PERIOD_SECONDS: Final = 30.0
"""How long a change may go unseen whose notice was lost."""

RETRY_SECONDS: Final = 1.0
"""After a failed reading. The first one after a restart of Postgres fails on a connection of before."""

CHANNEL: Final = "ingest_sources"

log = structlog.get_logger(__name__)


class SourceBook:
    """Reads all sources and keys at each change and every PERIOD_SECONDS; a failed reading keeps the last good copy."""

    name = "source book"

    def __init__(self, database: Database, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`database` may be away, now or later (`Database.lazy`)."""
        self._database = database
        self._monotonic = monotonic
        self._listener = Listener(database, {CHANNEL: self._wake})
        self._changed = asyncio.Event()
        self._reading = asyncio.Lock()  # else an older reading could end last
        self._trouble: str | None = "not read yet"
        self._failure: type[Exception] | None = None
        self.book: Book = EMPTY
        self.loaded = False

    def trouble(self) -> str | None:
        """Why the last reading failed, or None."""
        return self._trouble

    async def reload(self) -> bool:
        """Read now. False when it failed, whatever for: what was read last stays in force."""
        async with self._reading:
            try:
                async with self._database.transaction() as tx:
                    sources, keys = await store.load(tx)
            except Exception as error:  # noqa: BLE001 - missing tables, too: keys known here must go on working
                self._failed(error)
                return False
            now = self._monotonic()
            held = (HeldKey(key.source, key.kind, key.digest, now + key.seconds_left) for key in keys)
            self.book = Book.of(sources, held)
        if self._trouble is not None:
            log.info("sources_read", sources=len(self.book.sources), keys=len(self.book.keys))
        self.loaded, self._trouble, self._failure = True, None, None
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the changes until `stop` is set."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(stop), name="sources listener")
            while not stop.is_set():
                self._changed.clear()
                done = await self.reload()
                await first_of(PERIOD_SECONDS if done else RETRY_SECONDS, stop, self._changed)

    async def _listen(self, stop: asyncio.Event) -> None:
        """Hear of changes; where that is impossible, the period has to do."""
        while not stop.is_set():
            try:
                await self._listener.run(stop)
            except Exception as error:  # noqa: BLE001 - a missing right must not end the intake
                log.warning("sources_not_heard", error=f"{type(error).__name__}: {error}")
                await first_of(PERIOD_SECONDS, stop)

    def _wake(self) -> None:
        self._changed.set()

    def _failed(self, error: Exception) -> None:
        """Say it when it is news."""
        before, self._failure = self._failure, type(error)
        self._trouble = f"{type(error).__name__}: {error}"
        if before is not type(error):
            log.warning("sources_not_read", error=self._trouble, in_force=self.loaded)
