"""The only consumer: partitions and offsets come from our own position rows, never from a consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, LeaderNotAvailableError, OffsetOutOfRangeError, RecordTooLargeError, for_code
from aiokafka.protocol.offset import OffsetRequest

from funnel.envelope import Headers
from funnel.errors import FunnelError
from funnel.settings import Settings

# Upper bound of how long the broker holds a fetch that found nothing. A partition that was not part of a held fetch
# has to wait for it, so this bounds the latency added by idle partitions.
FETCH_WAIT_MS = 20
PARTITION_FETCH_BYTES = 2 * 1024 * 1024
START_SECONDS = 15.0
REQUEST_TIMEOUT_MS = 5_000

# Who asks for the end of a log: a consumer is told how far copies of it are in sync, the other one what the leader has.
_CONSUMER, _DEBUGGER = -1, -2
_END = -1

Partition = tuple[str, int]  # logical topic and partition number

Isolation = Literal["read_committed", "read_uncommitted"]
"""Kafka's words. A transaction that an outsider leaves open holds back everything behind it, our records too; only a
reader of what is uncommitted sees that they are there."""


class KafkaAway(FunnelError):
    """Kafka did not answer, or answered with an error that may pass."""


class OutOfRange(FunnelError):
    """The log does not hold the offset asked for."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        super().__init__(f"The log does not hold the next offset of {partitions}.")
        self.partitions = tuple(partitions)


@contextmanager
def asking(doing: str) -> Iterator[None]:
    """Put around what the client is asked; its troubles leave as KafkaAway, which says that Kafka `doing`.

    The client gives up requests of its own by cancelling them: whoever waits for one sees a CancelledError, and must
    not take it for his own end.
    """
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise KafkaAway(f"Kafka {doing} ({type(error).__name__}).") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise KafkaAway(f"Kafka {doing} (the request was given up).") from error


class Record(Protocol):
    """A record as the client gives it (its own fields, not ours, so that none is copied)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Consumer:
    """Reads assigned partitions in order from given offsets. Topics are named without the deployment's prefix."""

    def __init__(
        self,
        settings: Settings,
        client: str,
        *,
        group: str | None = None,
        isolation: Isolation = "read_committed",
    ) -> None:
        """`group` is needed for `report` only: its coordinator must not stand between records and their reader."""
        self._prefix = settings.topic_prefix
        self._client = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            client_id=f"funnel-{client}",
            group_id=settings.topic_prefix + group if group else None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level=isolation,
            check_crcs=True,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=30_000,
        )

    async def start(self) -> None:
        """Connect. Raises KafkaAway."""
        try:
            with asking("cannot be reached"):
                async with asyncio.timeout(START_SECONDS):
                    await self._client.start()
        except KafkaAway:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close; never raises for a broker that is away."""
        with suppress(KafkaAway), asking("does not let go"):
            async with asyncio.timeout(5):
                await self._client.stop()

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        """Read exactly these partitions, each from the given offset."""
        self._client.assign([self._physical(p) for p in offsets])
        for partition, offset in offsets.items():
            self._client.seek(self._physical(partition), offset)

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from `offset`; what was fetched before is dropped."""
        self._client.seek(self._physical(partition), offset)

    async def poll(self, max_records: int, timeout_seconds: float) -> dict[Partition, Sequence[Record]]:
        """Records per partition, in offset order; empty when none came within the time.

        Raises OutOfRange (the position lies outside the log) and KafkaAway.
        """
        with asking("does not give records"):
            try:
                found = await self._client.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=max_records)
            except OffsetOutOfRangeError as error:
                raise OutOfRange([self._logical(tp) for tp in error.args[0]]) from error
            except RecordTooLargeError as error:
                raise FunnelError(f"A record is larger than the consumer can read ({error}).") from error
        return {self._logical(tp): records for tp, records in found.items()}

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        """First offset in the log, and the offset after the last record that the isolation lets one see.

        Raises KafkaAway.
        """
        physical = [self._physical(p) for p in partitions]
        if not physical:
            return {}
        with asking("does not tell its offsets"):
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                begin, end = await asyncio.gather(
                    self._client.beginning_offsets(physical), self._client.end_offsets(physical)
                )
        return {self._logical(tp): (begin[tp], end[tp]) for tp in physical}

    async def unshown(self, partitions: Sequence[Partition]) -> int:
        """How many records the leaders of `partitions` have and show nobody: too few copies of them are in sync yet.

        They may still become part of the log, or be lost with their leader. Raises KafkaAway.
        """
        physical = [self._physical(p) for p in partitions]
        with asking("does not tell its offsets"):
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                await self._client.end_offsets(physical)  # so that the leaders are known
                has = await self._ends(physical, _DEBUGGER)
                shown = await self._ends(physical, _CONSUMER)
        return sum(max(0, has[tp] - shown[tp]) for tp in physical)

    async def _ends(self, partitions: Sequence[TopicPartition], asker: int) -> dict[TopicPartition, int]:
        """The end of each log as `asker` is told it. Raises KafkaError."""
        client = self._client._client
        by_leader: dict[int, list[TopicPartition]] = {}
        for partition in partitions:
            leader = client.cluster.leader_for_partition(partition)
            if leader is None or leader < 0:
                client.force_metadata_update()
                raise LeaderNotAvailableError(partition)
            by_leader.setdefault(leader, []).append(partition)
        ends: dict[TopicPartition, int] = {}
        for leader, led in by_leader.items():
            wanted = [(tp.topic, [(tp.partition, _END)]) for tp in led]
            for topic, answers in (await client.send(leader, OffsetRequest(asker, 0, wanted))).topics:
                for number, code, _, offset in answers:
                    if code:
                        client.force_metadata_update()
                        raise for_code(code)(f"{topic}/{number}")
                    ends[TopicPartition(topic, number)] = offset
        return ends

    async def position(self, partition: Partition) -> int:
        """The offset that `poll` gives next, past records that are not shown (control records). Raises KafkaAway."""
        with asking("does not tell the position"):
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                return int(await self._client.position(self._physical(partition)))

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        """All partitions of `topics` that exist now. Raises KafkaAway."""
        with asking("does not tell its topics"):
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                known = await self._client._client.fetch_all_metadata()
        return [(t, n) for t in topics for n in sorted(known.partitions_for_topic(self._prefix + t) or ())]

    async def report(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets to Kafka for lag tools and autoscalers; nothing of ours ever reads them. Raises KafkaAway."""
        physical = {self._physical(p): offset for p, offset in offsets.items()}
        if not physical:
            return
        if self._client.assignment() != physical.keys():
            self._client.assign(list(physical))
            self._client.pause(*physical)
        with asking("does not take the offsets"):
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                await self._client.commit(physical)

    def _physical(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + partition[0], partition[1])

    def _logical(self, partition: TopicPartition) -> Partition:
        return partition.topic.removeprefix(self._prefix), partition.partition
