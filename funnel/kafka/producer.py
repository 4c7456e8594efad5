"""The only producer: acks=all, every send awaited, one batch in flight per partition.

Idempotence is off on purpose: aiokafka's idempotent producer consumes a sequence number for a batch that expires or
is too large and then fails every later send to that partition. Repeats are absorbed by the readers' inbox.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from funnel.errors import FunnelError
from funnel.kafka.partitioner import partition_of
from funnel.settings import Settings

DEADLINE_SECONDS = 5.0
# A batch must pass the broker's limit for a record batch (max.message.bytes, 1 MiB by default) with its framing.
BATCH_BYTES_MAX = 900_000
RECORD_BYTES_MAX = 800_000
# Not yet acknowledged bytes this process may hold; beyond it publishing fails at once instead of eating memory.
PENDING_BYTES_MAX = 64 * 1024 * 1024
_CLOSE_SECONDS = 5.0
_RECORD_OVERHEAD_BYTES = 64
_HEADER_OVERHEAD_BYTES = 10


class PublishError(FunnelError):
    """The record is not known to be stored. `too_large`: it never will be; otherwise retry under the same id."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


@dataclass(frozen=True, slots=True)
class ProducerRecord:
    """A record to send; the partition follows from the key as in Kafka's own clients (murmur2)."""

    topic: str
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]

    def size(self) -> int:
        """Upper bound of its bytes inside a batch."""
        return (
            len(self.key)
            + len(self.value)
            + sum(map(len, chain.from_iterable(self.headers)))
            + _RECORD_OVERHEAD_BYTES
            + _HEADER_OVERHEAD_BYTES * len(self.headers)
        )


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Where a record was stored, by all in-sync replicas."""

    partition: int
    offset: int


@dataclass(slots=True)
class _Call:
    """One `publish`: its results in order, and who waits for the last of them."""

    results: list[Acknowledged | PublishError | None]
    missing: int
    done: asyncio.Future[None]

    def settle(self, index: int, result: Acknowledged | PublishError) -> None:
        self.results[index] = result
        self.missing -= 1
        if self.missing == 0 and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class _Lane:
    """The queue of one partition; `task` is its only sender."""

    queue: deque[tuple[ProducerRecord, int, _Call, int]] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class Producer:
    """Publishes records in per-partition batches and answers for each record."""

    def __init__(self, bootstrap: str, client_id: str) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._client: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._pending_bytes = 0
        self._trouble: str | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, settings: Settings, *, client_id: str = "funnel") -> Producer:
        """A producer that tries to connect now but also comes up while Kafka is away (`ready` tells)."""
        producer = cls(settings.kafka_bootstrap, client_id)
        try:
            await producer._connected()
        except PublishError as error:
            producer._trouble = str(error)
        return producer

    def ready(self) -> str | None:
        """None when the last exchange with Kafka went well, else what is wrong."""
        return self._trouble

    async def partitions(self, topic: str) -> int:
        """How many partitions `topic` has. Raises PublishError when Kafka does not say."""
        client = await self._connected()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                found = await client.partitions_for(topic)
        except (KafkaError, TimeoutError) as error:
            raise PublishError(f"Kafka does not tell the partitions of {topic} ({type(error).__name__}).") from error
        if not found:
            raise PublishError(f"Topic {topic} does not exist.")
        return len(found)

    async def publish(self, records: Sequence[ProducerRecord]) -> list[Acknowledged | PublishError]:
        """Send all records; returns one result per record in order, after every one is acknowledged or failed.

        Records of one partition are stored in the order given; after a failure the rest queued for that partition
        fails too, so that nothing overtakes.
        """
        if not records:
            return []
        call = _Call([None] * len(records), len(records), asyncio.get_running_loop().create_future())
        try:
            counts = {topic: await self.partitions(topic) for topic in {r.topic for r in records}}
        except PublishError as error:
            return [error] * len(records)
        for index, record in enumerate(records):
            self._enqueue(record, index, call, counts[record.topic])
        await call.done
        return [result for result in call.results if result is not None]

    async def close(self) -> None:
        """Wait for what is in flight, then close."""
        tasks = [lane.task for lane in self._lanes.values() if lane.task]
        if tasks:
            await asyncio.wait(tasks, timeout=DEADLINE_SECONDS)
        if self._client is not None:
            self._discard(self._client)
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_SECONDS)

    def _enqueue(self, record: ProducerRecord, index: int, call: _Call, partitions: int) -> None:
        size = record.size()
        if size > RECORD_BYTES_MAX:
            call.settle(
                index, PublishError(f"The record has {size} bytes, {RECORD_BYTES_MAX} are allowed.", too_large=True)
            )
            return
        if self._pending_bytes + size > PENDING_BYTES_MAX:
            call.settle(index, PublishError("Too much is waiting for Kafka already; retry later."))
            return
        self._pending_bytes += size
        partition = partition_of(record.key, partitions)
        lane = self._lanes.setdefault((record.topic, partition), _Lane())
        lane.queue.append((record, index, call, size))
        if lane.task is None:
            lane.task = asyncio.create_task(self._drain(record.topic, partition, lane))

    async def _drain(self, topic: str, partition: int, lane: _Lane) -> None:
        try:
            while lane.queue:
                batch = self._take(lane)
                error = await self._send(topic, partition, batch)
                if error is not None:
                    self._fail(lane, error)
        finally:
            lane.task = None

    def _take(self, lane: _Lane) -> list[tuple[ProducerRecord, int, _Call, int]]:
        total = 0
        batch: list[tuple[ProducerRecord, int, _Call, int]] = []
        while lane.queue and (not batch or total + lane.queue[0][3] <= BATCH_BYTES_MAX):
            batch.append(lane.queue.popleft())
            total += batch[-1][3]
        self._pending_bytes -= total
        return batch

    def _fail(self, lane: _Lane, error: PublishError) -> None:
        while lane.queue:
            for _, index, call, _ in self._take(lane):
                call.settle(index, error)

    async def _send(
        self, topic: str, partition: int, batch: list[tuple[ProducerRecord, int, _Call, int]]
    ) -> PublishError | None:
        """Send one batch and settle its records; returns what later records of the partition must fail with."""
        try:
            base = await self._deliver(topic, partition, [record for record, *_ in batch])
        except PublishError as error:
            if error.too_large and len(batch) > 1:
                middle = len(batch) // 2
                first = await self._send(topic, partition, batch[:middle])
                if first is None:
                    return await self._send(topic, partition, batch[middle:])
                batch, error = batch[middle:], first
            for _, index, call, _ in batch:
                call.settle(index, error)
            return None if error.too_large else error
        for at, (_, index, call, _) in enumerate(batch):
            call.settle(index, Acknowledged(partition, base + at))
        return None

    async def _deliver(self, topic: str, partition: int, records: list[ProducerRecord]) -> int:
        """The offset of the first of `records`, once all in-sync replicas have them."""
        client = await self._connected()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                delivery = await client.send_batch(_built(client, records), topic, partition=partition)
            delivery.add_done_callback(_retrieve)
            await asyncio.wait([delivery], timeout=DEADLINE_SECONDS)
            if not delivery.done():
                raise TimeoutError
            metadata = delivery.result()
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            raise PublishError(f"Kafka refuses the record as too large for {topic}.", too_large=True) from error
        except (KafkaError, TimeoutError, OSError) as error:
            raise self._failed(client, f"Kafka did not acknowledge within {DEADLINE_SECONDS:g} s", error) from error
        self._trouble = None
        return int(metadata.offset)

    async def _connected(self) -> AIOKafkaProducer:
        if self._client is not None:
            return self._client
        async with self._connecting:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _connect(self) -> AIOKafkaProducer:
        client = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=False,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=BATCH_BYTES_MAX,
            request_timeout_ms=int(DEADLINE_SECONDS * 1000),
            metadata_max_age_ms=60_000,
            linger_ms=0,
        )
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await client.start()
        except (KafkaError, TimeoutError, OSError) as error:
            self._discard(client)
            raise PublishError(f"Kafka cannot be reached at {self._bootstrap} ({type(error).__name__}).") from error
        self._trouble = None
        return client

    def _failed(self, client: Any, what: str, error: BaseException) -> PublishError:
        """Throw the client away (it may be wedged) and name the trouble; whether it is stored is unknown."""
        self._trouble = f"{what} ({type(error).__name__})."
        if self._client is client:
            self._client = None
            self._discard(client)
        return PublishError(self._trouble)

    def _discard(self, client: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_stop(client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _built(client: AIOKafkaProducer, records: Sequence[ProducerRecord]) -> Any:
    builder = client.create_batch()
    now = int(time.time() * 1000)
    for record in records:
        if builder.append(timestamp=now, key=record.key, value=record.value, headers=list(record.headers)) is None:
            raise PublishError("The batch is larger than the client allows.", too_large=True)
    builder.close()
    return builder


def _retrieve(delivery: asyncio.Future[Any]) -> None:
    """Take note of a failure nobody waits for any more; asyncio would otherwise complain when it is collected."""
    if not delivery.cancelled():
        delivery.exception()


async def _stop(client: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client.stop()
    except (KafkaError, TimeoutError, OSError):
        return
