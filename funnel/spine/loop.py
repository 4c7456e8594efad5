"""The consumer loop: poll, admit, decode, apply in one transaction, go on. The same for every service.

A record ends in one of four ways: applied, duplicate, quarantined, or transient (waited for, never skipped).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from funnel.clock import Clock
from funnel.errors import BadData, Conflict, DatabaseAway, FunnelError, PartitionStopped, UnknownVersion
from funnel.kafka.consumer import Consumer, KafkaAway, OutOfRange, Partition, Record
from funnel.postgres import Database
from funnel.spine import telemetry
from funnel.spine.chunks import Chunk, Cursor, Poisoned, admit, decode
from funnel.spine.leases import LeaseKeeper
from funnel.spine.model import AnyHandler, Message
from funnel.spine.observer import Stalled
from funnel.spine.positions import locate
from funnel.spine.transaction import Result, apply

BATCH_RECORDS_MAX = 1000
POLL_SECONDS = 0.25
# Least time from the start of one batch to the start of the next. A batch costs as much for one record as for ten; a
# record that comes alone does not wait, a steady flow is taken in handfuls and leaves the processor to others.
PACE_SECONDS = 0.01
WAITING_SECONDS = 5.0  # before a paused partition is tried again
AWAY_SECONDS_MAX = 30.0  # Postgres away for longer: leave, and let the supervisor start afresh
FAILURES_MAX = 5  # in a row, before the Kafka client is replaced: it may be the one that is broken
_BACKOFF_SECONDS = 0.05
_BACKOFF_SECONDS_MAX = 1.0

log = structlog.get_logger(__name__)


class Bug(Exception):
    """An exception of a handler that has no place in the error tree."""


class ConsumerLoop:
    """Applies the records of the partitions this replica holds."""

    name = "consumer"

    def __init__(
        self,
        handler: AnyHandler,
        database: Database,
        keeper: LeaseKeeper,
        make_consumer: Callable[[], Consumer],
        clock: Clock,
        wake_relay: Callable[[], None],
        relay_is_here: Callable[[], bool],
        lane: int = 0,
        lanes: int = 1,
    ) -> None:
        """One of `lanes` loops of a process: it reads the partitions whose number modulo `lanes` is `lane`."""
        self._handler = handler
        self._lane, self._lanes = lane, lanes
        self._database = database
        self._keeper = keeper
        self._make_consumer = make_consumer
        self._consumer: Consumer | None = None
        self._clock = clock
        self._wake_relay = wake_relay
        self._relay_is_here = relay_is_here
        self._reassign = False
        self._doubts = False
        self._trouble: str | None = "not connected to Kafka yet"
        self._failures = 0
        self._pace_until = 0.0
        self.cursors: dict[Partition, Cursor] = {}
        self._log = log.bind(service=handler.name)
        keeper.watch(self._leases_changed)

    def problems(self) -> dict[str, str]:
        """What keeps records from being applied, by check name; empty when all is well."""
        found = {"kafka": self._trouble} if self._trouble else {}
        for (topic, number), cursor in self.cursors.items():
            if why := cursor.stopped or cursor.waiting:
                found[f"{topic}/{number}"] = why
        return found

    def doubt(self) -> None:
        """Kafka was out of sight: before more is applied, make sure that its log is still the one that was read.

        A topic that was made anew meanwhile, and has grown past us, gives records at our offsets without a word.
        """
        self._doubts = True

    async def run(self, stop: asyncio.Event) -> None:
        """Apply records until `stop`. Raises Stalled when Postgres is away for 30 s."""
        try:
            while not stop.is_set():
                await self._turn()
        finally:
            await self._disconnect()

    async def _turn(self) -> None:
        try:
            consumer = self._consumer or await self._connect()
            if self._doubts:
                self._doubts = False
                self._relocate()
            self._retry_paused()
            if self._reassign:
                await self._take_up(consumer)
            if not any(self._reads(cursor) for cursor in self.cursors.values()):
                self._trouble, self._failures = None, 0
                await asyncio.sleep(_BACKOFF_SECONDS)
                return
            await asyncio.sleep(self._pace_until - asyncio.get_running_loop().time())
            fetched = await consumer.poll(BATCH_RECORDS_MAX, POLL_SECONDS)
            if fetched:
                self._pace_until = asyncio.get_running_loop().time() + PACE_SECONDS
                await self._apply_fetched(consumer, fetched)
            else:
                await self._pass_holes(consumer)
            self._trouble, self._failures = None, 0
        except OutOfRange:
            self._relocate()
        except KafkaAway as error:
            self._trouble = str(error)
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                await self._disconnect()
            telemetry.retried(self._handler.name, "kafka")
            await asyncio.sleep(_BACKOFF_SECONDS_MAX * random.random())  # noqa: S311 - jitter
        except DatabaseAway as error:
            await self._await_database(error)

    async def _connect(self) -> Consumer:
        consumer = self._make_consumer()
        await consumer.start()
        self._consumer = consumer
        self._doubts = True
        return consumer

    async def _disconnect(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    def _leases_changed(self) -> None:
        self._reassign = True

    def _reads(self, cursor: Cursor) -> bool:
        return cursor.stopped is None and cursor.waiting is None

    # -- ownership ---------------------------------------------------------------------------------------------

    async def _take_up(self, consumer: Consumer) -> None:
        """Make cursors for what the keeper holds, drop the others, and tell the client."""
        self._reassign = False
        held = {
            (topic, number): epoch
            for (topic, number), epoch in self._keeper.held.items()
            if topic in self._handler.decoders and number % self._lanes == self._lane
        }
        gone = [p for p, cursor in self.cursors.items() if held.get(p) != cursor.epoch]
        for partition in gone:
            del self.cursors[partition]
        new = {p: epoch for p, epoch in held.items() if p not in self.cursors}
        if new:
            try:
                bounds = await consumer.bounds(list(new))
                located = await locate(self._database, new, bounds)
            except FunnelError:
                self._reassign = True
                raise
            for partition, cursor in located.items():
                self.cursors[partition] = cursor
                if cursor.stopped:
                    self._stop(partition, cursor, cursor.stopped)
        self._assign(consumer)

    def _assign(self, consumer: Consumer) -> None:
        consumer.assign({p: c.fetch_from for p, c in self.cursors.items() if self._reads(c)})

    def _relocate(self) -> None:
        """Forget where we think we are and ask Postgres and the log again."""
        self.cursors = {p: c for p, c in self.cursors.items() if c.stopped}
        self._reassign = True

    def _retry_paused(self) -> None:
        now = asyncio.get_running_loop().time()
        for cursor in self.cursors.values():
            if cursor.waiting and now >= cursor.retry_at:
                cursor.waiting = None
                self._reassign = True

    # -- applying ----------------------------------------------------------------------------------------------

    async def _pass_holes(self, consumer: Consumer) -> None:
        """Nothing came: where the client is ahead of us all the same, the log ends in records that are not shown.

        As with gaps before a record, they are believed at the second look only.
        """
        chunks: list[Chunk] = []
        for partition, cursor in self.cursors.items():
            if not self._reads(cursor) or cursor.verify is not None:
                continue
            end = await consumer.position(partition)
            if end <= cursor.next:
                continue
            believed = min(end, cursor.missing_to(cursor.next))
            if believed > cursor.next:
                chunks.append(Chunk(partition, cursor.epoch, cursor.next, (), believed - cursor.next))
            if believed < end:
                consumer.seek(partition, believed)
            cursor.gap = (believed, end) if believed < end else None
        if chunks:
            await self._apply(chunks)

    async def _apply_fetched(self, consumer: Consumer, fetched: Mapping[Partition, Sequence[Record]]) -> None:
        chunks: list[Chunk] = []
        again: list[Partition] = []
        for partition, records in fetched.items():
            cursor = self.cursors.get(partition)
            if cursor is None or not self._reads(cursor):
                continue
            try:
                chunk, refetch = await self._chunk(consumer, partition, cursor, records)
            except PartitionStopped as error:
                self._stop(partition, cursor, str(error))
                continue
            if refetch:
                again.append(partition)
            if chunk is not None:
                chunks.append(chunk)
        if chunks:
            await self._apply(chunks)
        for partition in again:
            if (cursor := self.cursors.get(partition)) and self._reads(cursor) and not self._reassign:
                consumer.seek(partition, cursor.fetch_from)

    async def _chunk(
        self, consumer: Consumer, partition: Partition, cursor: Cursor, records: Sequence[Record]
    ) -> tuple[Chunk | None, bool]:
        admitted = admit(cursor, records)
        if admitted.holes:
            begin = (await consumer.bounds([partition]))[partition][0]
            if begin > cursor.next:
                raise PartitionStopped(_retention(cursor.next, begin))
        items, unknown = decode(partition[0], admitted.records, self._handler.decoders)
        if unknown:
            self._pause(partition, cursor, unknown)
        if not items:
            return None, admitted.refetch
        return Chunk(partition, cursor.epoch, cursor.next, items, admitted.holes), admitted.refetch

    async def _apply(self, chunks: Sequence[Chunk]) -> None:
        """Apply, redo after a conflict, and narrow down to the record or the partition at fault."""
        try:
            result = await self._transact(chunks)
        except BadData as error:
            await self._narrow(chunks, str(error))
        except (Bug, UnknownVersion, PartitionStopped) as error:
            if len(chunks) > 1:
                for chunk in chunks:
                    await self._apply([chunk])
            else:
                self._give_up(chunks[0], error)
        else:
            self._advance(chunks, result)

    async def _transact(self, chunks: Sequence[Chunk]) -> Result:
        delay = _BACKOFF_SECONDS
        notify = not self._relay_is_here()
        while True:
            try:
                with telemetry.timed(self._handler.name, chunks):
                    return await apply(self._database, self._handler, chunks, self._clock, notify=notify)
            except Conflict:
                telemetry.retried(self._handler.name, "conflict")
                await asyncio.sleep(delay * random.random())  # noqa: S311 - jitter
                delay = min(delay * 2, _BACKOFF_SECONDS_MAX)
            except FunnelError:
                raise
            except Exception as error:
                self._log.exception("handler_failed")
                raise Bug(f"{type(error).__name__}: {error}") from error

    async def _narrow(self, chunks: Sequence[Chunk], reason: str) -> None:
        """Postgres refused something in the batch: halve it until the record is alone, then quarantine that one."""
        if len(chunks) > 1:
            middle = len(chunks) // 2
            await self._apply(chunks[:middle])
            await self._apply(chunks[middle:])
            return
        chunk = chunks[0]
        if not chunk.items:
            raise Bug(f"Postgres refuses a position: {reason}")
        if len(chunk.items) > 1:
            first, second = chunk.halves()
            await self._apply([first])
            cursor = self.cursors.get(chunk.partition)
            if cursor is not None and cursor.next == second.expected and self._reads(cursor):
                await self._apply([second])
            return
        item = chunk.items[0]
        if isinstance(item, Poisoned):
            raise Bug(f"the quarantine refuses a record: {reason}")
        poisoned = _quarantined(item, reason)
        await self._apply([Chunk(chunk.partition, chunk.epoch, chunk.expected, [poisoned], chunk.holes)])

    def _advance(self, chunks: Sequence[Chunk], result: Result) -> None:
        for chunk in chunks:
            if chunk.partition in result.kept:
                self.cursors[chunk.partition].next = chunk.next
            else:
                log.warning(
                    "fenced", service=self._handler.name, topic=chunk.partition[0], partition=chunk.partition[1]
                )
                self.cursors.pop(chunk.partition, None)
                self._reassign = True
                self._keeper.wake()
        telemetry.passed(self._handler.name, [c for c in chunks if c.partition in result.kept])
        if result.published:
            self._wake_relay()

    # -- trouble -----------------------------------------------------------------------------------------------

    def _give_up(self, chunk: Chunk, error: Exception) -> None:
        cursor = self.cursors[chunk.partition]
        if isinstance(error, UnknownVersion):
            self._pause(chunk.partition, cursor, str(error))
        else:
            self._stop(chunk.partition, cursor, f"at offset {chunk.expected}: {error}")

    def _stop(self, partition: Partition, cursor: Cursor, reason: str) -> None:
        cursor.stopped = reason
        self._reassign = True
        telemetry.stopped(self._handler.name, self.cursors)
        log.error(
            "partition_stopped", service=self._handler.name, topic=partition[0], partition=partition[1], reason=reason
        )

    def _pause(self, partition: Partition, cursor: Cursor, reason: str) -> None:
        cursor.waiting = reason
        cursor.retry_at = asyncio.get_running_loop().time() + WAITING_SECONDS
        self._reassign = True
        telemetry.stopped(self._handler.name, self.cursors)
        log.warning(
            "partition_waits", service=self._handler.name, topic=partition[0], partition=partition[1], reason=reason
        )

    async def _await_database(self, error: DatabaseAway) -> None:
        """Wait for Postgres; then ask it where we are, since the fate of the last COMMIT is unknown."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + AWAY_SECONDS_MAX
        telemetry.retried(self._handler.name, "database")
        self._trouble = str(error)
        self._log.warning("database_away", reason=str(error))
        while loop.time() < deadline:
            try:
                await self._database.fetch("SELECT 1")
            except DatabaseAway:
                await asyncio.sleep(_BACKOFF_SECONDS_MAX / 2)
            else:
                self._relocate()
                return
        raise Stalled(f"Postgres is away for more than {AWAY_SECONDS_MAX:g} s ({error}).")


def _quarantined(message: Message[Any] | Poisoned, reason: str) -> Poisoned:
    topic = message.topic
    return Poisoned(topic, message.record, message.source, message.event_id, reason)


def _retention(expected: int, begin: int) -> str:
    return (
        f"offset {expected} is no longer in the log, which starts at {begin}: retention removed records that were "
        "never applied (`funnel position skip` accepts the loss)."
    )
