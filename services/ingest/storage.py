"""Where records go: to Kafka, else to the spool, and from there to Kafka as soon as it is back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from funnel.errors import FunnelError
from funnel.failpoints import reach
from funnel.kafka.producer import RECORD_BYTES_MAX, Acknowledged, ProducerRecord, PublishError
from funnel.telemetry import INGEST_SPOOL_ROWS, INGEST_SPOOL_SECONDS, INGEST_SPOOLED
from funnel.waiting import Patience, first_of
from services.ingest.domain import limits
from services.ingest.domain.batch import Stored
from services.ingest.spool import BATCH_ROWS, Spool, SpoolAway

LOOK_SECONDS = 5.0
"""How long rows may wait that another process left behind."""

RETRY_SECONDS = 1.0
PROBE_ROWS: Final = 20
"""What is tried while Kafka is away: enough to be of several partitions, little enough to cost nothing."""

log = structlog.get_logger(__name__)

Results = Sequence[Acknowledged | PublishError]


class Publisher(Protocol):
    """The part of `funnel.kafka.producer.Producer` used here."""

    async def publish(self, records: Sequence[ProducerRecord]) -> Results:
        """One result per record, in order, once every one is acknowledged by all in-sync replicas or has failed.

        Sends nothing any more once the caller has stopped waiting.
        """

    async def partitions(self, topic: str) -> int:
        """How many partitions `topic` has. Raises PublishError when Kafka does not say."""


class Kafka:
    """The log, and whether it is known to be away.

    It is away once records failed and none has been acknowledged since they were sent, until one is, or until it
    answers a `look`. So a partition without a leader does not keep the others from being written.
    """

    def __init__(
        self,
        publisher: Publisher,
        *,
        seconds: float = limits.PUBLISH_SECONDS_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds` is how long anybody waits for an acknowledgement."""
        self._publisher = publisher
        self._patience = Patience(seconds)
        self._monotonic = monotonic
        self._acknowledged_at = -math.inf
        self._trouble: str | None = None
        self._failed_topic = ""
        self._asking = 0

    def trouble(self) -> str | None:
        """Why Kafka is away, or None."""
        return self._trouble

    def is_asked(self) -> bool:
        """Whether somebody waits for Kafka now."""
        return self._asking > 0

    async def publish(self, records: Sequence[ProducerRecord], *, blames: bool = True) -> Results:
        """One result per record, in order, after as many seconds as were given at the latest.

        `blames`: that all failed says that Kafka is away. Old records may all be of one partition; theirs does not.
        """
        sent_at = self._monotonic()
        self._asking += 1
        try:
            with self._patience.wait():
                results = await self._publisher.publish(records)
        except TimeoutError:
            late = PublishError(f"Kafka did not acknowledge within {self._patience.seconds:g} s.")
            results = [late] * len(records)
        finally:
            self._asking -= 1
        for result in results:
            if isinstance(result, Acknowledged):
                self._acknowledged_at = self._monotonic()
                self._set(None)
                return results
        if blames and self._acknowledged_at <= sent_at:
            self._set(next((str(e) for e in results if isinstance(e, PublishError) and not e.too_large), self._trouble))
            self._failed_topic = records[0].topic
        return results

    async def look(self) -> None:
        """For whoever has no record to try: a Kafka that was away and answers again is given records again."""
        if self._trouble is None:
            return
        try:
            await self._publisher.partitions(self._failed_topic)
        except PublishError:
            return
        self._set(None)

    def _set(self, trouble: str | None) -> None:
        if (trouble is None) != (self._trouble is None):
            log.warning("kafka_changed", trouble=trouble)
        self._trouble = trouble


class Storage:
    """Stores records, in Kafka or in the spool, and says which."""

    def __init__(self, kafka: Kafka, spool: Spool) -> None:
        self._kafka = kafka
        self._spool = spool

    async def store(self, records: Sequence[ProducerRecord]) -> list[Stored]:
        """What became of each record, in order; nothing is done for them after this returned.

        A record that is in the spool may be in Kafka too: it was sent, and no answer came in time.
        """
        if not records:
            return []
        if self._kafka.trouble() is None:
            reach("ingest.publish.before")
            stored = [_stored(result) for result in await self._kafka.publish(records)]
            reach("ingest.publish.after")
            return await self._spool_rest(records, stored) if Stored.UNKNOWN in stored else stored
        stored = [Stored.TOO_LARGE if one.size() > RECORD_BYTES_MAX else Stored.UNKNOWN for one in records]
        stored = await self._spool_rest(records, stored)
        if Stored.UNKNOWN in stored and not self._kafka.is_asked():
            return await self._publish_rest(records, stored)  # with the spool away nobody else would find Kafka back
        return stored

    async def _spool_rest(self, records: Sequence[ProducerRecord], stored: Sequence[Stored]) -> list[Stored]:
        """`stored` after what is UNKNOWN was given to the spool: all of it, or nothing."""
        rest = [record for record, one in zip(records, stored, strict=True) if one is Stored.UNKNOWN]
        try:
            if rest:
                await self._spool.put(rest)
        except SpoolAway as away:
            log.warning("not_stored", records=len(rest), kafka=self._kafka.trouble(), spool=str(away))
            return list(stored)
        INGEST_SPOOLED.inc(len(rest))
        return [Stored.SPOOL if one is Stored.UNKNOWN else one for one in stored]

    async def _publish_rest(self, records: Sequence[ProducerRecord], stored: Sequence[Stored]) -> list[Stored]:
        rest = [index for index, one in enumerate(stored) if one is Stored.UNKNOWN]
        results = await self._kafka.publish([records[index] for index in rest])
        found = dict(zip(rest, map(_stored, results), strict=True))
        return [found.get(index, one) for index, one in enumerate(stored)]


class Drain:
    """Publishes what is in the spool, whoever put it there. Every process may have one: rows are claimed first.

    A row is published twice only when its claim ran out before it could be taken out; the repeat has the same id and
    the same bytes.
    """

    name = "spool drain"

    def __init__(self, kafka: Kafka, spool: Spool) -> None:
        self._kafka = kafka
        self._spool = spool
        self._published: list[int] = []  # still to be taken out
        self._failed: list[int] = []  # still to be given free
        self._tried_to = 0
        self._drained = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Drain until `stop` is set. What is left then waits for the next process."""
        while not stop.is_set():
            self._spool.filled.clear()
            try:
                pause = await self._round()
                await self._tell()
            except FunnelError as error:
                log.warning("spool_not_drained", reason=str(error))
                INGEST_SPOOL_ROWS.set(math.nan)
                INGEST_SPOOL_SECONDS.set(math.nan)
                await self._kafka.look()  # else only a request would find it back, and none may come
                pause = RETRY_SECONDS
            # New rows do not make Kafka come back; they are a reason to look only where there were none.
            await first_of(pause, stop, *([self._spool.filled] if pause == LOOK_SECONDS else []))

    async def _round(self) -> float:
        """Publish some rows; returns how many seconds to wait then."""
        await self._settle()
        away = self._kafka.trouble() is not None
        rows = await self._spool.claim(PROBE_ROWS if away else BATCH_ROWS, self._tried_to)
        if not rows:
            return self._nothing_found()
        reach("spool.publish.before")
        results = dict(zip(rows, await self._kafka.publish(list(rows.values()), blames=False), strict=True))
        reach("spool.publish.after")
        self._published = [row for row, result in results.items() if isinstance(result, Acknowledged)]
        failed = [row for row, result in results.items() if isinstance(result, PublishError) and not result.too_large]
        if len(self._published) + len(failed) < len(results):
            log.error("spooled_record_too_large", rows=[r for r in rows if r not in (*self._published, *failed)])
        if self._published:
            self._tried_to = 0
            # Kafka takes records, but not those that failed beside them (their partition has no leader): they stay
            # claimed, so they are in nobody's way, and are tried again when the claim has run out.
        elif failed:
            self._tried_to = max(failed)  # other rows next time: these may be of one partition
            self._failed = failed
        pause = 0.0 if self._published else RETRY_SECONDS
        await self._settle()
        return pause

    def _nothing_found(self) -> float:
        if self._tried_to:
            self._tried_to = 0
            return RETRY_SECONDS
        if self._drained:
            log.info("spool_drained", rows=self._drained)
            self._drained = 0
        return LOOK_SECONDS

    async def _settle(self) -> None:
        """Take out what is published, give free what is not; both kept in mind until Postgres has done it."""
        if self._published:
            await self._spool.forget(self._published)
            self._drained += len(self._published)
            self._published = []
        if self._failed:
            await self._spool.release(self._failed)
            self._failed = []

    async def _tell(self) -> None:
        waiting = await self._spool.waiting()
        INGEST_SPOOL_ROWS.set(waiting.rows)
        INGEST_SPOOL_SECONDS.set(waiting.seconds)


def _stored(result: Acknowledged | PublishError) -> Stored:
    if isinstance(result, Acknowledged):
        return Stored.LOG
    return Stored.TOO_LARGE if result.too_large else Stored.UNKNOWN
