"""What the spine tells about itself. Called once per batch or less, never per record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from funnel import telemetry as metrics
from funnel.kafka.consumer import Partition
from funnel.spine.chunks import Chunk, Cursor


@contextmanager
def timed(service: str, chunks: Sequence[Chunk]) -> Iterator[None]:
    """Time one batch transaction and note its size."""
    start = time.perf_counter()
    yield
    metrics.SPINE_BATCH_SECONDS.labels(service=service).observe(time.perf_counter() - start)
    metrics.SPINE_BATCH_RECORDS.labels(service=service).observe(sum(len(c.items) for c in chunks))


def passed(service: str, chunks: Sequence[Chunk]) -> None:
    """Records whose transaction committed."""
    for chunk in chunks:
        metrics.SPINE_RECORDS.labels(service=service, topic=chunk.partition[0]).inc(len(chunk.items))


def retried(service: str, reason: str) -> None:
    """A batch or a fetch is done again."""
    metrics.SPINE_RETRIES.labels(service=service, reason=reason).inc()


def stopped(service: str, cursors: Mapping[Partition, Cursor]) -> None:
    """How many partitions wait for a person, and how many for something that may pass."""
    topics = {topic for topic, _ in cursors}
    stop = Counter(topic for (topic, _), cursor in cursors.items() if cursor.stopped)
    wait = Counter(topic for (topic, _), cursor in cursors.items() if cursor.waiting)
    for topic in topics:
        metrics.SPINE_STOPPED.labels(service=service, topic=topic).set(stop[topic])
        metrics.SPINE_WAITING.labels(service=service, topic=topic).set(wait[topic])
