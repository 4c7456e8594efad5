"""What waits to be published: a queue per partition, and the calls that wait for its records."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from funnel.errors import FunnelError
from funnel.kafka.brokers import batch_builder
from funnel.kafka.produce import Batch, Place

# A batch must pass the broker's limit for a record batch (max.message.bytes, 1 MiB by default) with its framing.
BATCH_BYTES_MAX = 900_000
_RECORD_OVERHEAD_BYTES = 64
_HEADER_OVERHEAD_BYTES = 10


class PublishError(FunnelError):
    """The record is not known to be stored. `too_large`: it never will be; otherwise retry under the same id."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


class ProducerRecord(msgspec.Struct, frozen=True, gc=False):
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


class Acknowledged(msgspec.Struct, frozen=True, gc=False):
    """Where a record was stored, by all in-sync replicas."""

    partition: int
    offset: int


@dataclass(slots=True)
class Call:
    """One `publish`: its results in order, who waits for the last of them, and whether anybody still does.

    `refused`, where the order of a key matters: the keys that had a record which is too large, with their places.
    """

    results: list[Acknowledged | PublishError | None]
    missing: int
    done: asyncio.Future[None]
    given_up: bool = False
    refused: set[tuple[Place, bytes]] | None = None

    def settle(self, index: int, result: Acknowledged | PublishError) -> None:
        """The result of the record at `index`."""
        self.results[index] = result
        self.missing -= 1
        if not self.missing and not self.done.done():
            self.done.set_result(None)


Entry = tuple[ProducerRecord, int, Call, int]
"""A record, its index in its call, the call, and the bytes it counts for."""


@dataclass(slots=True)
class Held:
    """Bytes of records that are not settled, in all lanes."""

    bytes: int = 0


@dataclass(slots=True)
class Lane:
    """What waits for one partition, and the batch that is under way.

    `listed`: somebody will see to it. `give_up_at` (monotonic clock): when the batch has been tried for long enough.
    """

    place: Place
    held: Held
    queue: deque[Entry] = field(default_factory=deque)
    batch: list[Entry] = field(default_factory=list)
    listed: bool = False
    give_up_at: float = math.inf
    _records_max: int | None = None  # of the next batch, after a larger one was refused

    def take(self, now_ms: int) -> Batch | None:
        """Make the next batch, without records that nobody waits for any more; None: there are no others."""
        queue, batch, builder = self.queue, self.batch, batch_builder(BATCH_BYTES_MAX)
        most = self._records_max or len(queue)
        while queue and len(batch) < most:
            entry = queue[0]
            record = entry[0]
            if entry[2].given_up:
                self._settle([entry], PublishError("Its sender has given up."))
            elif entry[2].refused and (self.place, record.key) in entry[2].refused:
                self._settle([entry], PublishError("A record of the same key before it is too large."))
            elif builder.append(len(batch), now_ms, record.key, record.value, list(record.headers)) is not None:
                batch.append(entry)
            elif batch:
                break
            else:
                self._refuse(entry, "The record is larger than a batch.")
            queue.popleft()
        if not batch:
            self.give_up_at = math.inf
            return None
        built: Batch = builder.build()
        return built

    def put_back(self) -> None:
        """The batch waits again, before all others."""
        self.queue.extendleft(reversed(self.batch))
        self.batch = []

    def acknowledge(self, offset: int) -> None:
        """All of the batch is stored; `offset` is that of its first record."""
        partition = self.place.partition
        for at, (_, index, call, size) in enumerate(self.batch, offset):
            self.held.bytes -= size
            call.settle(index, Acknowledged(partition, at))
        self.batch, self.give_up_at, self._records_max = [], math.inf, None

    def split(self) -> None:
        """The batch is too large for its topic: half of it is next; if it is one record, that is the one."""
        if len(self.batch) > 1:
            self._records_max = len(self.batch) // 2
            self.put_back()
        else:
            self._refuse(self.batch.pop(), f"Kafka refuses the record as too large for {self.place.topic}.")
        self.give_up_at = math.inf

    def fail(self, error: PublishError) -> None:
        """Everything fails, so that nothing overtakes what failed first."""
        waiting = [*self.batch, *self.queue]
        self.queue.clear()
        self.batch, self.listed, self.give_up_at, self._records_max = [], False, math.inf, None
        self._settle(waiting, error)

    def _refuse(self, entry: Entry, message: str) -> None:
        record, _, call, _ = entry
        if call.refused is not None:
            call.refused.add((self.place, record.key))
        self._settle([entry], PublishError(message, too_large=True))

    def _settle(self, entries: Iterable[Entry], error: PublishError) -> None:
        for _, index, call, size in entries:
            self.held.bytes -= size
            call.settle(index, error)
