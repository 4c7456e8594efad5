"""What the spine tells about itself. Called once per batch or less, never per record."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

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


def lag(
    service: str,
    cursors: Mapping[Partition, Cursor],
    bounds: Mapping[Partition, tuple[int, int]],
    now: datetime,
) -> None:
    """Lag of the held partitions. Seconds count from the last applied record: the oldest unapplied one is younger."""
    stopped(service, cursors)
    for partition, (_, end) in bounds.items():
        cursor = cursors[partition]
        records = max(0, end - cursor.next)
        seconds = 0.0
        if records and cursor.last_timestamp_ms is not None:
            seconds = max(0.0, now.timestamp() - cursor.last_timestamp_ms / 1000)
        topic, number = partition
        metrics.LAG_RECORDS.labels(service=service, topic=topic, partition=str(number)).set(records)
        metrics.LAG_SECONDS.labels(service=service, topic=topic, partition=str(number)).set(seconds)


def forget(service: str, partitions: Iterable[Partition]) -> None:
    """Stop telling the lag of partitions that someone else holds now."""
    for topic, number in partitions:
        for gauge in (metrics.LAG_RECORDS, metrics.LAG_SECONDS):
            try:
                gauge.remove(service, topic, str(number))
            except KeyError:
                continue
