"""How long the next record of a partition has been waiting, asked of the log itself.

The age of the last applied record would be no substitute: after a quiet hour the next record would look an hour old.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from funnel.kafka.consumer import KafkaAway, Partition
from funnel.kafka.lookup import RecordLookup
from funnel.settings import Settings

BUDGET_SECONDS = 0.5
"""How long one round may take. What it does not come to keeps the age of an earlier record, so is never too young."""

RECORD_SECONDS = 0.5
"""How long to wait for one record; it is in the log already, unless only control records are left."""


class Waiting(NamedTuple):
    """The next record to apply of one partition."""

    partition: Partition
    offset: int


class Ages:
    """Remembers when waiting records were written: a partition that stands still is asked about once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lookup: RecordLookup | None = None
        self._written: dict[Waiting, float] = {}  # seconds since 1970
        self._in_vain: set[Waiting] = set()

    async def seconds(self, waiting: Iterable[Waiting], now: datetime) -> dict[Waiting, float]:
        """The age of each waiting record at `now`; those it is not known of are left out. Raises KafkaAway."""
        wanted = set(waiting)
        unknown = [one for one in wanted if one not in self._written]
        if unknown:
            self._written |= await self._look_up(sorted(unknown, key=self._urgency))
        nearest = {one: near for one in wanted if (near := self._nearest(one)) is not None}
        self._written = {near: self._written[near] for near in nearest.values()}
        self._in_vain &= wanted
        return {one: max(0.0, now.timestamp() - self._written[near]) for one, near in nearest.items()}

    async def close(self) -> None:
        """Leave Kafka."""
        lookup, self._lookup = self._lookup, None
        if lookup is not None:
            await lookup.stop()

    def _nearest(self, wanted: Waiting) -> Waiting | None:
        """The wanted record or else the newest one before it, if it is known when that was written."""
        places = [one for one in self._written if one.partition == wanted.partition and one.offset <= wanted.offset]
        return max(places, default=None)

    def _urgency(self, one: Waiting) -> tuple[bool, float]:
        """Those nothing is known of come first, then those whose nearest record is oldest; last, so that they keep
        nobody from a turn, those that were looked up before in vain."""
        near = self._nearest(one)
        return one in self._in_vain, 0.0 if near is None else self._written[near]

    async def _look_up(self, turn: Iterable[Waiting]) -> dict[Waiting, float]:
        found: dict[Waiting, float] = {}
        deadline = asyncio.get_running_loop().time() + BUDGET_SECONDS
        try:
            if self._lookup is None:
                self._lookup = RecordLookup(self._settings, "metrics-ages")
                await self._lookup.start()
            for one in turn:
                if asyncio.get_running_loop().time() > deadline:
                    break
                record = await self._lookup.first_from(one.partition, one.offset, RECORD_SECONDS)
                if record is None:
                    self._in_vain.add(one)
                else:
                    found[one] = record.timestamp / 1000
        except KafkaAway:
            await self.close()  # a client that failed once is not trusted again
            raise
        return found
