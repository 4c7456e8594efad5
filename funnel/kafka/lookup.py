"""Single records by their place in the log: how old is the one that waits, what lies at this offset."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from funnel.kafka.consumer import KafkaAway, Partition, Record
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
            async with asyncio.timeout(START_SECONDS):
                await self._client.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await self.stop()
            raise KafkaAway(f"Kafka cannot be reached ({type(error).__name__}).") from error

    async def stop(self) -> None:
        """Close; never raises for a broker that is away."""
        try:
            async with asyncio.timeout(5):
                await self._client.stop()
        except (KafkaError, TimeoutError, OSError):
            return

    async def first_from(self, partition: Partition, offset: int, timeout_seconds: float) -> Record | None:
        """The first record at or after `offset`; None when none comes in time or the log begins later.

        Raises KafkaAway.
        """
        place = TopicPartition(self._prefix + partition[0], partition[1])
        try:
            self._client.assign([place])
            self._client.seek(place, offset)
            found = await self._client.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=1)
        except OffsetOutOfRangeError:
            return None
        except (KafkaError, OSError) as error:
            raise KafkaAway(f"Kafka does not give records ({type(error).__name__}).") from error
        for records in found.values():
            record: Record = records[0]
            return record
        return None
