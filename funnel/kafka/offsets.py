"""What the log holds, asked without consuming it."""

from __future__ import annotations

from collections.abc import Sequence

from funnel.kafka.consumer import Consumer, Partition
from funnel.settings import Settings


async def log_bounds(settings: Settings, topics: Sequence[str]) -> dict[Partition, tuple[int, int]]:
    """(first offset, offset after the last) of every partition of `topics`. Raises KafkaAway."""
    consumer = Consumer(settings, "bounds")
    await consumer.start()
    try:
        return await consumer.bounds(await consumer.partitions(topics))
    finally:
        await consumer.stop()
