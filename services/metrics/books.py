"""Reads the ledger and the lag of the whole deployment: what Postgres says first, then the ends of the logs.

In that order no record is counted that the log is not asked about afterwards: neither one that was applied nor one that
ingest called stored, whose receipt is written only when the log or the spool has the record. The spool is read between
the two: what is drained after that is counted there, what was drained before is in the log. The other way round a
record that came in between would look lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from funnel.clock import Clock
from funnel.kafka.consumer import Consumer, KafkaAway, Partition
from funnel.ledger import AssignmentAccount, LeadAccount, Ledger, PartitionRead, RecordAccount, SpoolRead, account_of
from funnel.postgres import Database
from funnel.settings import Settings
from funnel.spine import positions
from funnel.spine.positions import PositionRow
from funnel.topics import topics
from services.metrics import store
from services.metrics.ages import Ages, Waiting
from services.metrics.domain.receipts import Answered

SERVICES = ("scoring", "routing", "metrics")
"""The services that read topics; their position rows are knowledge that the spine shares."""

LogBounds = Mapping[Partition, tuple[int, int]]
_Reading = tuple[str, Partition]


@dataclass(frozen=True, slots=True)
class Lag:
    """What `service` has still to read of one partition; `seconds`: age of the oldest such record, 0 for none.

    `seconds` is None where records wait but the log did not tell in time how old they are.
    """

    service: str
    topic: str
    partition: int
    records: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class _Rows:
    """What Postgres says."""

    positions: Sequence[PositionRow]
    leads: LeadAccount
    assignments: AssignmentAccount
    answered: Answered
    spool: Mapping[str, SpoolRead]


class Books:
    """The ledger and the lag, read afresh at every call. Callers take turns."""

    def __init__(self, settings: Settings, database: Database, clock: Clock) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._consumer: Consumer | None = None
        self._ages = Ages(settings)
        self._turn = asyncio.Lock()
        self._readers = {
            name: [service for service in SERVICES if service in topic.consumers] for name, topic in topics().items()
        }

    async def ledger(self) -> Ledger:
        """The conservation account. Raises DatabaseAway, Conflict and KafkaAway."""
        async with self._turn:
            rows, log = await self._read()
        return _ledger(rows, log)

    async def ledger_and_lags(self) -> tuple[Ledger, list[Lag]]:
        """The account, and what each service has still to read. Raises DatabaseAway, Conflict and KafkaAway."""
        async with self._turn:
            rows, log = await self._read()
            next_offsets = self._next_offsets(rows, log)
            waiting = {key: one for key, offset in next_offsets.items() if (one := _waiting(key, offset, log))}
            ages = await self._ages.seconds(waiting.values(), self._clock.now())
        return _ledger(rows, log), [_lag(key, waiting.get(key), ages, log) for key in next_offsets]

    async def close(self) -> None:
        """Leave Kafka."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
        await self._ages.close()

    async def _read(self) -> tuple[_Rows, LogBounds]:
        async with self._database.transaction() as tx:
            leads, assignments = await store.lead_account(tx)
            assignments = replace(assignments, unpublished=await store.unpublished_assignments(tx))
            found = [row for service in SERVICES for row in await positions.read(tx, service)]
            answered = await store.answered(tx)
            spool = await store.spool(tx)  # after the receipts
        return _Rows(found, leads, assignments, answered, spool), await self._bounds()

    def _next_offsets(self, rows: _Rows, log: LogBounds) -> dict[_Reading, int]:
        """Where each service stands in each partition it should read; a service that never came is at its start."""
        known = {(row.service, (row.topic, row.partition)): row.next for row in rows.positions}
        return {
            (service, place): known.get((service, place)) or log[place][0]
            for place in sorted(log)
            for service in self._readers[place[0]]
        }

    async def _bounds(self) -> LogBounds:
        try:
            if self._consumer is None:
                # What stands behind a transaction that an outsider left open is in the log all the same.
                self._consumer = Consumer(self._settings, "metrics-books", isolation="read_uncommitted")
                await self._consumer.start()
            return await self._consumer.bounds(await self._consumer.partitions(list(self._readers)))
        except KafkaAway:
            await self.close()  # a client that failed once is not trusted again
            raise


def _ledger(rows: _Rows, log: LogBounds) -> Ledger:
    assignments = _account(rows, "metrics", "lead-assignments", log)
    return Ledger(
        events=_account(rows, "scoring", "lead-events", log, rows.answered.events),
        outcomes=_account(rows, "routing", "lead-outcomes", log, rows.answered.outcomes),
        leads=rows.leads,
        assignments=replace(rows.assignments, unaccounted=assignments.unaccounted),
    )


def _account(rows: _Rows, service: str, topic: str, log: LogBounds, answered: int = 0) -> RecordAccount:
    """The account of `topic` with `service` as its witness. A row without a position has read nothing."""
    reads = [
        PartitionRead(
            row.partition, row.first, row.next, row.applied, row.duplicates, row.quarantined, row.holes, row.skipped
        )
        for row in rows.positions
        if (row.service, row.topic) == (service, topic) and row.first is not None and row.next is not None
    ]
    bounds = {number: found for (name, number), found in log.items() if name == topic}
    return account_of(reads, bounds, answered, rows.spool.get(topic, SpoolRead()))


def _waiting(reading: _Reading, offset: int, log: LogBounds) -> Waiting | None:
    """The next record to apply; None when everything is read."""
    _, place = reading
    begin, end = log[place]
    return Waiting(place, max(begin, offset)) if max(begin, offset) < end else None


def _lag(reading: _Reading, waiting: Waiting | None, ages: Mapping[Waiting, float], log: LogBounds) -> Lag:
    service, (topic, partition) = reading
    if waiting is None:
        return Lag(service, topic, partition, 0, 0.0)
    return Lag(service, topic, partition, log[waiting.partition][1] - waiting.offset, ages.get(waiting))
