"""The relay: publishes the outbox in order, forgets what is acknowledged, and after a doubt reads back first.

At most one relay per service is active (it holds the `#outbox` lease). A repeat on a topic can only come from a
produce result lost together with its process, from a relay frozen between its lease check and its send, or from a
broker that stores a request long after its sender gave it up. All carry the same `ce_id` and the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from funnel.envelope import unpack_headers
from funnel.errors import Conflict, DatabaseAway, FunnelError
from funnel.failpoints import reach
from funnel.kafka.consumer import KafkaAway, Partition, Record
from funnel.kafka.producer import Producer, ProducerRecord, PublishError
from funnel.postgres import Database, Row, load_queries
from funnel.settings import Settings
from funnel.spine.leases import LEASE, LeaseKeeper
from funnel.spine.reconcile import read_on
from funnel.telemetry import RELAY_PUBLISHED, RELAY_READ_BACK
from funnel.waiting import first_of

LEASE_NAME = "#outbox"
LEASE_KEY: Partition = (LEASE_NAME, 0)
BATCH_ROWS = 2000
POLL_SECONDS = 1.0
RETRY_SECONDS = 0.2

QUERIES = load_queries("funnel.spine.sql")
log = structlog.get_logger(__name__)


class LeaseLost(FunnelError):
    """Another replica's relay took over."""


class Relay:
    """The one publisher of a service's outbox.

    `database` must have been opened with `durable=False`: what the relay writes can be found again on the topics.
    """

    name = "relay"

    def __init__(
        self, settings: Settings, service: str, database: Database, keeper: LeaseKeeper, producer: Producer
    ) -> None:
        self._settings = settings
        self._service = service
        self._database = database
        self._keeper = keeper
        self._producer = producer
        self._wake = asyncio.Event()
        self._trouble: str | None = None
        keeper.watch(self.wake)

    def wake(self) -> None:
        """There may be rows to send."""
        self._wake.set()

    def ready(self) -> str | None:
        """What keeps the relay from publishing, or None."""
        return self._trouble

    async def run(self, stop: asyncio.Event) -> None:
        """Publish whenever this replica holds the lease, until `stop`."""
        while not stop.is_set():
            epoch = self._keeper.held.get(LEASE_KEY)
            self._wake.clear()
            if epoch is None:
                await first_of(POLL_SECONDS, self._wake, stop)
                continue
            try:
                await self._serve(epoch, stop)
            except (PublishError, KafkaAway, DatabaseAway, Conflict) as error:
                self._trouble = str(error)
                log.warning("relay_paused", service=self._service, reason=str(error))
                await first_of(RETRY_SECONDS, stop)
            except LeaseLost:
                self._keeper.wake()
                await first_of(RETRY_SECONDS, stop)

    async def _serve(self, epoch: int, stop: asyncio.Event) -> None:
        """Read back, then publish batch after batch while the lease is held."""
        await self._read_back(epoch)
        self._trouble = None
        while not stop.is_set() and self._keeper.held.get(LEASE_KEY) == epoch:
            self._wake.clear()
            rows = await self._database.fetch(QUERIES["next_outbox"], self._settings.replica, epoch, BATCH_ROWS)
            if rows:
                await self._publish(epoch, rows)
            else:
                await first_of(POLL_SECONDS, self._wake, stop)

    async def _publish(self, epoch: int, rows: Sequence[Row]) -> None:
        reach("relay.publish.before")
        results = await self._producer.publish([self._record(row) for row in rows])
        reach("relay.publish.after")
        ends: dict[Partition, int] = {}
        for row, result in zip(rows, results, strict=True):
            if isinstance(result, PublishError):
                raise result
            place = (row["topic"], result.partition)
            ends[place] = max(ends.get(place, 0), result.offset + 1)
        await self._forget(epoch, [row["id"] for row in rows], ends)
        reach("relay.forget.after")
        RELAY_PUBLISHED.labels(service=self._service).inc(len(rows))

    def _record(self, row: Row) -> ProducerRecord:
        topic = self._settings.topic_prefix + row["topic"]
        return ProducerRecord(topic, row["key"].encode(), row["value"], unpack_headers(row["headers"]))

    async def _read_back(self, epoch: int) -> None:
        """Drop from the outbox what our topics already hold after the last stored acknowledgement."""
        pending = {row["topic"] for row in await self._database.fetch(QUERIES["outbox_topics"])}
        if not pending:
            return
        reach("relay.readback.before")
        stored = {
            (r["topic"], r["partition"]): r["next"] for r in await self._database.fetch(QUERIES["relay_positions"])
        }
        published: set[str] = set()

        async def note(_: Partition, records: Sequence[Record]) -> None:
            published.update(v.decode() for r in records for k, v in r.headers if k == "ce_id")

        ends = await read_on(self._settings, f"{self._service}-relay", sorted(pending), stored, note)
        found = await self._database.fetch(QUERIES["published_ids"], sorted(published))
        reach("relay.readback.found")
        await self._forget(epoch, [row["id"] for row in found], ends)
        reach("relay.readback.after")
        RELAY_READ_BACK.labels(service=self._service).inc(len(found))

    async def _forget(self, epoch: int, ids: Sequence[int], ends: Mapping[Partition, int]) -> None:
        places = sorted(ends)
        held = await self._database.fetch(
            QUERIES["forget_sent"],
            self._settings.replica,
            epoch,
            LEASE,
            ids,
            [topic for topic, _ in places],
            [number for _, number in places],
            [ends[place] for place in places],
        )
        if not held[0]["count"]:
            raise LeaseLost(f"The {self._service} relay of {self._settings.replica} lost its lease.")
