"""Reads spans of the topics for an audit, by a client of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from funnel.audit.findings import Place, place_name
from funnel.audit.seen import Seen, seen
from funnel.kafka.consumer import Consumer, KafkaAway, OutOfRange, Partition
from funnel.settings import Settings
from funnel.topics import topics

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 5.0
"""How long a span may give nothing before it is left for later: an outsider's open transaction holds it back."""

Bounds = dict[Partition, tuple[int, int]]


Spot = tuple[Partition, int]
"""A place on the way through all partitions, one after another: a partition and an offset in it."""


def next_spans(bounds: Bounds, at: Spot | None, count: int) -> tuple[dict[Partition, tuple[int, int]], Spot | None]:
    """The next `count` offsets from `at` on (None: from the start), and where to go on; None at the end."""
    spans: dict[Partition, tuple[int, int]] = {}
    for partition in sorted(bounds):
        begin, end = bounds[partition]
        if at is not None and partition <= at[0]:
            begin = max(begin, at[1]) if partition == at[0] else end
        taken = min(end - begin, count)
        if taken > 0:
            spans[partition] = (begin, begin + taken)
            count -= taken
        if count == 0:
            return spans, (partition, begin + taken)
    return spans, None


def spot_name(spot: Spot | None) -> str:
    """A spot as text: `lead-events/3/1234`, empty for the start."""
    return "" if spot is None else place_name((*spot[0], spot[1]))


def spot_of(name: str) -> Spot | None:
    """What `spot_name` was given."""
    if not name:
        return None
    topic, partition, offset = name.split("/")
    return (topic, int(partition)), int(offset)


class LogReader:
    """Not for use by two tasks at once. After KafkaAway it starts anew."""

    def __init__(self, settings: Settings, client: str) -> None:
        self._settings = settings
        self._client = client
        self._consumers: tuple[Consumer, Consumer] | None = None

    async def bounds(self) -> Bounds:
        """First offset and end of every partition, as far as records are committed. Raises KafkaAway."""
        committed, _ = await self._started()
        return await self._asked(committed)

    async def ends(self) -> dict[Partition, int]:
        """The offset after the last record of every partition, whether committed or not. Raises KafkaAway."""
        _, uncommitted = await self._started()
        return {partition: end for partition, (_, end) in (await self._asked(uncommitted)).items()}

    async def read(
        self, spans: Mapping[Partition, tuple[int, int]], limit: int
    ) -> tuple[list[Seen], dict[Partition, int]]:
        """About `limit` records of `spans` (from, to), and where each span was left. Raises KafkaAway.

        A span whose records are gone from the log is left at its end, one that gives nothing in time where it is.
        """
        reached = {partition: begin for partition, (begin, end) in spans.items() if begin < end}
        found: list[Seen] = []
        try:
            await self._read(spans, limit, found, reached)
        except OutOfRange as error:
            for partition in error.partitions:
                reached[partition] = spans[partition][1]
        except KafkaAway:
            await self.close()
            raise
        return found, reached

    async def at(self, places: Sequence[Place]) -> tuple[list[Seen], set[Place]]:
        """The records at `places`, and the places that hold none any more. Raises KafkaAway."""
        found: list[Seen] = []
        gone: set[Place] = set()
        bounds = await self.bounds()
        for place in places:
            topic, number, offset = place
            begin, end = bounds.get((topic, number), (0, 0))
            if not begin <= offset < end:
                gone.add(place)
                continue
            records, _ = await self.read({(topic, number): (offset, offset + 1)}, 1)
            found += records
        return found, gone

    async def close(self) -> None:
        """Leave Kafka."""
        consumers, self._consumers = self._consumers or (), None
        for consumer in consumers:
            await consumer.stop()

    async def _read(
        self, spans: Mapping[Partition, tuple[int, int]], limit: int, found: list[Seen], reached: dict[Partition, int]
    ) -> None:
        if not reached:
            return
        consumer, _ = await self._started()
        consumer.assign(reached)
        unread = set(reached)
        loop = asyncio.get_running_loop()
        moved_at = loop.time()
        while unread and len(found) < limit and loop.time() - moved_at < PATIENCE_SECONDS:
            polled = await consumer.poll(limit - len(found), POLL_SECONDS)
            for partition, records in polled.items():
                end = spans[partition][1]
                found += [seen(partition[0], one) for one in records if one.offset < end]
            for partition in sorted(unread):
                position = min(await consumer.position(partition), spans[partition][1])
                if position > reached[partition]:
                    reached[partition], moved_at = position, loop.time()
                if position >= spans[partition][1]:
                    unread.discard(partition)

    async def _started(self) -> tuple[Consumer, Consumer]:
        if self._consumers is None:
            consumers = (
                Consumer(self._settings, self._client),
                # What stands behind a transaction that an outsider left open is in the log all the same.
                Consumer(self._settings, f"{self._client}-ends", isolation="read_uncommitted"),
            )
            self._consumers = consumers
            try:
                for consumer in consumers:
                    await consumer.start()
            except KafkaAway:
                await self.close()
                raise
        return self._consumers

    async def _asked(self, consumer: Consumer) -> Bounds:
        try:
            return await consumer.bounds(await consumer.partitions(list(topics())))
        except KafkaAway:
            await self.close()
            raise
