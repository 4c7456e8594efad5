"""The auditor as a worker: new records at once, the newest again and again, everything old in turn.

Only the replica that holds the duty looks. What is new since its last round is looked at in this one; the newest
records stay in memory and are looked at again within a minute, so that what is deleted behind their back shows; and
with a bounded share of its time it walks over all records still in the logs, and over all leads, and begins again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import structlog

from funnel.audit import book
from funnel.audit.auditor import CHUNK, FIRST_LEAD, Auditor
from funnel.audit.logs import Bounds, LogReader, next_spans, spot_name, spot_of
from funnel.audit.seen import Seen
from funnel.errors import FunnelError
from funnel.kafka.consumer import Partition
from funnel.postgres import Database
from funnel.settings import Settings
from funnel.waiting import first_of
from services.metrics.settings import AUDIT_NEWEST, AUDIT_NEWEST_ROUNDS, AUDIT_OLD_SECONDS, AUDIT_SECONDS

log = structlog.get_logger(__name__)

LEADS_WALK, RECORDS_WALK = "leads", "records"


class Auditing:
    """A worker that audits, round after round, while `holds_duty` says so."""

    name = "auditor"

    def __init__(self, settings: Settings, database: Database, holds_duty: Callable[[], bool]) -> None:
        self._database = database
        self._holds_duty = holds_duty
        self._reader = LogReader(settings, "metrics-audit")
        self._auditor = Auditor(database, self._reader)
        self._newest: deque[Seen] = deque(maxlen=AUDIT_NEWEST)
        self._turn = 0
        self._read_to: dict[Partition, int] = {}
        self._walks: dict[str, str] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Audit until `stop`."""
        try:
            while not stop.is_set():
                if self._holds_duty():
                    await self._tried()
                else:
                    self._forget()
                await first_of(AUDIT_SECONDS, stop)
        finally:
            await self._reader.close()

    async def round(self) -> None:
        """Look at what is new, again at some of the newest, and at some of the old. Raises as its sources do."""
        bounds = await self._reader.bounds()
        if not self._walks:
            async with self._database.transaction() as tx:
                self._walks = await book.cursors(tx)
        again = self._next_again()
        new = await self._read_new(bounds)
        await self._look_at([*new, *again])
        self._newest.extend(new)
        await self._auditor.recheck()
        await self._walk(bounds)
        for finding in await self._auditor.end_look():
            log.error("audit_finding", kind=finding.kind.value, what=finding.what)
        async with self._database.transaction() as tx:
            await book.end_round(tx, self._walks)

    def _next_again(self) -> list[Seen]:
        """The part of the newest records whose turn it is."""
        if self._turn >= len(self._newest):
            self._turn = 0
        begin, self._turn = self._turn, self._turn + -(-len(self._newest) // AUDIT_NEWEST_ROUNDS)
        return list(islice(self._newest, begin, self._turn))

    async def _tried(self) -> None:
        try:
            await self.round()
        except FunnelError as error:
            log.warning("audit_paused", reason=str(error))

    def _forget(self) -> None:
        """Another replica has the duty; what is new is for it to look at."""
        self._newest.clear()
        self._read_to.clear()
        self._walks.clear()

    async def _look_at(self, records: Sequence[Seen]) -> None:
        """The records, and all there is about the leads that they are about."""
        await self._auditor.look_at_records(records)
        await self._auditor.look_at_leads({one.lead_id for one in records if one.lead_id is not None})

    async def _read_new(self, bounds: Bounds) -> list[Seen]:
        """What came since the last round. At the start, and when too much came, the newest of it."""
        share = AUDIT_NEWEST // max(1, len(bounds))
        spans = {
            partition: (max(begin, end - share, self._read_to.get(partition, 0)), end)
            for partition, (begin, end) in bounds.items()
        }
        found, reached = await self._reader.read(spans, AUDIT_NEWEST)
        self._read_to.update(reached)
        return found

    async def _walk(self, bounds: Bounds) -> None:
        """Go on over old records and leads, for as long as that may take; where they end, end this round."""
        await self._walk_leads()
        await self._walk_records(bounds)

    async def _walk_leads(self) -> None:
        at = self._walks.get(LEADS_WALK, FIRST_LEAD)
        for _ in _while_time_is_left():
            found = await self._auditor.look_at_leads_after(at, CHUNK)
            at = found[-1] if found else FIRST_LEAD
            if not found:
                break
        self._walks[LEADS_WALK] = at

    async def _walk_records(self, bounds: Bounds) -> None:
        at = spot_of(self._walks.get(RECORDS_WALK, ""))
        for _ in _while_time_is_left():
            spans, at = next_spans(bounds, at, CHUNK)
            records, _ = await self._reader.read(spans, CHUNK)
            await self._auditor.look_at_records(records)
            if at is None:
                break
        self._walks[RECORDS_WALK] = spot_name(at)


def _while_time_is_left() -> Iterator[None]:
    loop = asyncio.get_running_loop()
    enough = loop.time() + AUDIT_OLD_SECONDS / 2  # for one of two walks
    while loop.time() < enough:
        yield
