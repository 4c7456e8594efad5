"""What goes on beside the consumer loop without holding it up: offsets for lag tools, new partitions, a watchdog.

It has a Kafka client of its own. The client's group coordinator can die for good (seen on a fresh broker whose
offsets topic was still loading), so the loop's client has no group, and this one is replaced whenever it fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from funnel.errors import DatabaseAway, FunnelError
from funnel.kafka.consumer import Consumer, KafkaAway, Partition
from funnel.spine import telemetry
from funnel.spine.chunks import Cursor
from funnel.spine.leases import LeaseKeeper
from funnel.spine.model import AnyHandler
from funnel.waiting import first_of

LOOK_SECONDS = 2.0
DISCOVER_SECONDS = 30.0
STALL_SECONDS_MAX = 60.0  # lag without progress for longer: the client is stuck, start afresh

log = structlog.get_logger(__name__)


class Stalled(FunnelError):
    """The process cannot go on by itself and should be started afresh."""


class Observer:
    """Watches the cursors of the consumer loop, which it only reads."""

    name = "observer"

    def __init__(
        self,
        handler: AnyHandler,
        keeper: LeaseKeeper,
        cursors: Callable[[], Mapping[Partition, Cursor]],
        make_consumer: Callable[[], Consumer],
        kafka_is_away: Callable[[], None] = lambda: None,
    ) -> None:
        """`kafka_is_away` is called at each look that Kafka does not answer."""
        self._handler = handler
        self._keeper = keeper
        self._cursors = cursors
        self._make_consumer = make_consumer
        self._kafka_is_away = kafka_is_away
        self._consumer: Consumer | None = None
        self._discovered_at: float | None = None
        self._seen: dict[Partition, int] = {}
        self._progress_at = 0.0
        self._wake = asyncio.Event()
        self._trouble: str | None = None

    def ready(self) -> str | None:
        """What Kafka last failed to answer, or None. The reading client itself is silent while Kafka is away."""
        return self._trouble

    def look_for_partitions(self) -> None:
        """Ask Kafka now whether its topics have grown, instead of at the next turn of half a minute."""
        self._discovered_at = None
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Look every two seconds until `stop`. Raises Stalled when the loop makes no progress for 60 s."""
        try:
            while not stop.is_set():
                self._wake.clear()
                await self._look_or_reconnect()
                await first_of(LOOK_SECONDS, stop, self._wake)
            await self._look_or_reconnect()
        finally:
            await self._close()

    async def _look_or_reconnect(self) -> None:
        try:
            await self._look()
            self._trouble = None
        except KafkaAway as error:
            self._trouble = str(error)
            self._kafka_is_away()
            log.warning("kafka_away", service=self._handler.name, reason=str(error))
            await self._close()
        except DatabaseAway:
            self._discovered_at = None

    async def _look(self) -> None:
        consumer = self._consumer or await self._connect()
        now = asyncio.get_running_loop().time()
        if self._discovered_at is None or now - self._discovered_at > DISCOVER_SECONDS:
            await self._keeper.add(await consumer.partitions(list(self._handler.decoders)))
            self._keeper.wake()
            self._discovered_at = now
        reading = {p: c for p, c in self._cursors().items() if c.stopped is None}
        bounds = await consumer.bounds(list(reading))
        telemetry.stopped(self._handler.name, self._cursors())
        self._watch(reading, bounds, now)
        await self._report(consumer)

    def _watch(
        self, reading: Mapping[Partition, Cursor], bounds: Mapping[Partition, tuple[int, int]], now: float
    ) -> None:
        """Progress is any position that moved; without lag there is nothing to progress with."""
        places = {p: c.next for p, c in reading.items()}
        behind = any(bounds[p][1] > c.next for p, c in reading.items() if c.waiting is None)
        if not behind or places != self._seen:
            self._seen, self._progress_at = places, now
        elif now - self._progress_at > STALL_SECONDS_MAX:
            raise Stalled(f"{self._handler.name} has records to apply but got none for {STALL_SECONDS_MAX:g} s.")

    async def _report(self, consumer: Consumer) -> None:
        await consumer.report({p: c.next for p, c in self._cursors().items()})

    async def _connect(self) -> Consumer:
        consumer = self._make_consumer()
        await consumer.start()
        self._consumer = consumer
        return consumer

    async def _close(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None
