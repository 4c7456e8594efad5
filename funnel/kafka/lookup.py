"""Single records by their place in the log: how old is the one that waits, what lies at this offset."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from funnel.kafka.consumer import KafkaAway, Partition, Record, asking
from funnel.settings import Settings

# The broker gives at least one whole batch whatever the limit, as long as only one partition is asked for. Asking for
# the least keeps a look at one record from fetching megabytes.
FETCH_BYTES = 1
FETCH_WAIT_MS = 20
REQUEST_TIMEOUT_MS = 10_000
START_SECONDS = 15.0


class RecordLookup:
    """Reads one record at a time, apart from any consuming. Not for use by two tasks at once."""

    def __init__(self, settings: Settings, client_id: str) -> None:
        self._prefix = settings.topic_prefix
        self._client = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap,
            client_id=f"funnel-{client_id}",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_uncommitted",  # what an open transaction holds back waits, and has an age
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
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

    async def first_from(self, partition: Partition, offset: int, timeout_seconds: float) -> Record | None:
        """The first record at or after `offset`; None when none comes in time or the log begins later.

        Raises KafkaAway.
        """
        place = TopicPartition(self._prefix + partition[0], partition[1])
        with asking("does not give records"):
            try:
                self._client.assign([place])
                self._client.seek(place, offset)
                found = await self._client.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=1)
            except OffsetOutOfRangeError:
                return None
        for records in found.values():
            record: Record = records[0]
            return record
        return None
