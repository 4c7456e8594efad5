"""Kafka as the spine sees it: partitions that only grow at their end, and clients that may not hear what was done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from funnel.envelope import Headers
from funnel.kafka.consumer import Consumer, KafkaAway, OutOfRange, Partition, Record
from funnel.kafka.partitioner import partition_of
from funnel.kafka.producer import DEADLINE_SECONDS, Acknowledged, Producer, ProducerRecord, PublishError
from tests.simulator.timeline import Process, Timeline
from tests.simulator.trace import Trace

NAP_SECONDS = 0.001
EPOCH_MS = 1_795_000_000_000
"""Timestamp of a record written at the beginning of virtual time."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record in the log. `doubtful`: written for a sender that had been told it failed, or had lost its lease."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    doubtful: bool = False


@dataclass
class KafkaFaults:
    """What goes wrong now. Probabilities are per batch of a partition (the first three) and per poll (the next two)."""

    ack_lost: float = 0.0
    not_sent: float = 0.0
    late: float = 0.0
    jumps: float = 0.0
    poll_fails: float = 0.0
    away_until: float = 0.0
    leaderless: dict[Partition, float] = field(default_factory=dict)


@dataclass
class PartitionLog:
    """One partition. An entry that is None holds no record that a reader of what is committed is shown."""

    begin: int = 0
    entries: list[Stored | None] = field(default_factory=list)
    open_from: int | None = None
    """Where a transaction of an outsider begins that is not over: nothing from here on is shown."""

    @property
    def end(self) -> int:
        return self.begin + len(self.entries)

    @property
    def stable(self) -> int:
        return self.end if self.open_from is None else self.open_from

    def records(self) -> list[Stored]:
        return [one for one in self.entries if one is not None]


class Log:
    """The broker; everything in it survives the processes that talk to it."""

    def __init__(self, timeline: Timeline, random: Random, trace: Trace) -> None:
        self.timeline = timeline
        self.random = random
        self.trace = trace
        self.faults = KafkaFaults()
        self.process = timeline.process("kafka")
        self.topics: dict[str, list[PartitionLog]] = {}
        self.jumped: dict[Partition, int] = {}
        """Up to where clients have passed over records; no defect known does so twice in one place."""
        self.lost_lease: Callable[[Process], bool] = lambda _: False
        self._waiting: list[asyncio.Future[None]] = []

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic, or let it grow."""
        logs = self.topics.setdefault(topic, [])
        logs += [PartitionLog() for _ in range(partitions - len(logs))]

    def recreate(self, topic: str) -> None:
        """Somebody deletes the topic and makes it anew."""
        self.topics[topic] = [PartitionLog() for _ in self.topics[topic]]

    def at(self, partition: Partition) -> PartitionLog:
        return self.topics[partition[0]][partition[1]]

    def append(
        self, place: Partition, records: Sequence[tuple[bytes | None, bytes | None, Headers]], *, doubtful: bool = False
    ) -> int:
        """Append key, value and headers of each record; the offset of the first."""
        log = self.at(place)
        first = log.end
        timestamp = EPOCH_MS + int(self.timeline.now * 1000)
        log.entries += [
            Stored(*place, first + index, timestamp, key, value, headers, doubtful)
            for index, (key, value, headers) in enumerate(records)
        ]
        self.wake()
        return first

    def hole(self, place: Partition) -> None:
        """The end of a transaction: an offset that no reader is shown."""
        self.at(place).entries.append(None)
        self.wake()

    def forget_before(self, place: Partition, offset: int) -> None:
        """Retention removes what lies before `offset`."""
        log = self.at(place)
        del log.entries[: max(0, offset - log.begin)]
        log.begin = max(log.begin, offset)

    def answers(self, place: Partition | None = None) -> bool:
        """Whether Kafka, or the leader of the partition, does anything now."""
        now = self.timeline.now
        return now >= self.faults.away_until and (place is None or now >= self.faults.leaderless.get(place, 0.0))

    def wake(self) -> None:
        """Those who wait for records look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def news(self, seconds: float) -> None:
        """Wait for something to be written, at most `seconds`."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append(future)
        timer = loop.call_later(seconds, _settle, future)
        await future
        timer.cancel()

    async def nap(self) -> None:
        """The time that an answer takes. Raises KafkaAway in a process that is being killed."""
        loop = asyncio.get_running_loop()
        if getattr(loop, "dying", False):
            raise KafkaAway("nothing leaves this process any more")
        future = loop.create_future()
        loop.call_later(self.random.random() * NAP_SECONDS, _settle, future)
        await future


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class FakeConsumer(Consumer):
    """A reader of the fake log, in the isolation `read_committed`. `jumps`: it may pass over records."""

    def __init__(self, log: Log, prefix: str = "", *, jumps: bool = False) -> None:
        self._log = log
        self._jumps = jumps
        self._prefix = prefix
        self._positions: dict[Partition, int] = {}

    async def start(self) -> None:
        await self._log.nap()
        self._require()

    async def stop(self) -> None:
        self._positions = {}

    def assign(self, offsets: Mapping[Partition, int]) -> None:
        self._positions = dict(offsets)

    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self._positions:
            raise ValueError(f"{partition} is not assigned")
        self._positions[partition] = offset

    async def poll(self, max_records: int, timeout_seconds: float) -> dict[Partition, Sequence[Record]]:
        log = self._log
        if log.faults.poll_fails and log.random.random() < log.faults.poll_fails:
            await log.nap()
            raise KafkaAway("a fetch failed")
        deadline = log.timeline.now + timeout_seconds
        while True:
            found = self._fetch(max_records)
            if found:
                await log.nap()
                return found
            left = deadline - log.timeline.now
            if left <= 0:
                return {}
            await log.news(left)

    async def bounds(self, partitions: Sequence[Partition]) -> dict[Partition, tuple[int, int]]:
        await self._log.nap()
        if partitions:
            self._require(*map(self._physical_place, partitions))
        logs = {place: self._log.at(self._physical_place(place)) for place in partitions}
        return {place: (log.begin, log.stable) for place, log in logs.items()}

    async def unshown(self, partitions: Sequence[Partition]) -> int:
        await self._log.nap()
        return 0  # here, what a leader has appended is in the log

    async def position(self, partition: Partition) -> int:
        await self._log.nap()
        return self._positions[partition]

    async def partitions(self, topics: Sequence[str]) -> list[Partition]:
        await self._log.nap()
        self._require()
        return [(t, n) for t in topics for n in range(len(self._log.topics.get(self._prefix + t, ())))]

    async def report(self, offsets: Mapping[Partition, int]) -> None:
        if offsets:
            await self._log.nap()
            self._require()

    def _require(self, *places: Partition) -> None:
        for place in places or (None,):
            if not self._log.answers(place):
                raise KafkaAway("Kafka does not answer")

    def _physical_place(self, partition: Partition) -> Partition:
        return self._prefix + partition[0], partition[1]

    def _fetch(self, max_records: int) -> dict[Partition, Sequence[Record]]:
        found: dict[Partition, Sequence[Record]] = {}
        random, faults = self._log.random, self._log.faults
        outside = []
        for place, position in self._positions.items():
            physical = self._physical_place(place)
            if not self._log.answers(physical):
                continue
            log = self._log.at(physical)
            if not log.begin <= position <= log.end:
                outside.append(place)
                continue
            waiting = log.stable - position
            if waiting <= 0:
                continue
            if self._jumps and random.random() < faults.jumps and self._log.jumped.get(physical, 0) <= position:
                before, position = position, position + random.randint(1, waiting)
                self._log.jumped[physical] = position
                self._log.trace.add("reader", "jumped", (place, before, position))
                waiting = log.stable - position
            taken = min(max_records, waiting if random.random() < 0.5 else random.randint(0, waiting))
            records = [one for one in log.entries[position - log.begin :][:taken] if one is not None]
            self._positions[place] = min(position + taken, log.stable)
            if records:
                found[place] = records
        if outside and not found:
            raise OutOfRange(outside)
        return found


class FakeProducer(Producer):
    """A writer to the fake log. What it has sent is stored, or not, whatever becomes of its process."""

    def __init__(self, log: Log, process: Process) -> None:
        self._log = log
        self._process = process

    def ready(self) -> str | None:
        return None if self._log.answers() else "Kafka does not answer"

    async def publish(self, records: Sequence[ProducerRecord]) -> list[Acknowledged | PublishError]:
        batches: dict[Partition, list[int]] = {}
        for index, record in enumerate(records):
            count = len(self._log.topics.get(record.topic, ()))
            if not count:
                return [PublishError(f"there is no topic {record.topic}")] * len(records)
            batches.setdefault((record.topic, partition_of(record.key, count)), []).append(index)
        loop = asyncio.get_running_loop()
        answers = {place: loop.create_future() for place in batches}
        for place, indexes in batches.items():
            self._set_going(place, [records[index] for index in indexes], answers[place])
        results: dict[int, Acknowledged | PublishError] = {}
        for place, indexes in batches.items():
            first = await answers[place]
            for place_in_batch, index in enumerate(indexes):
                failed = isinstance(first, PublishError)
                results[index] = first if failed else Acknowledged(place[1], first + place_in_batch)
        return [results[index] for index in range(len(records))]

    async def close(self) -> None:
        return

    def _set_going(
        self, place: Partition, batch: Sequence[ProducerRecord], answer: asyncio.Future[int | PublishError]
    ) -> None:
        """Decide the fate of a batch and set it going."""
        log, faults, kafka = self._log, self._log.faults, self._log.process
        fate, delay = log.random.random(), log.random.random() * NAP_SECONDS
        if not log.answers(place):
            back = max(faults.away_until, faults.leaderless.get(place, 0.0)) - log.timeline.now
            if back >= DEADLINE_SECONDS:
                kafka.call_later(DEADLINE_SECONDS, _answer, answer, PublishError("there is no leader"))
                return
            delay += back
        if fate < faults.not_sent:
            kafka.call_later(delay, _answer, answer, PublishError("nothing was sent"))
        elif fate < faults.not_sent + faults.late:
            kafka.call_later(delay, _answer, answer, PublishError("no answer in time"))
            kafka.call_later(delay + log.random.random() * 6, self._append, place, batch, None, True)
        elif fate < faults.not_sent + faults.late + faults.ack_lost:
            kafka.call_later(delay, self._append, place, batch, None, False)
            kafka.call_later(delay + log.random.random() * 0.1, _answer, answer, PublishError("the answer was lost"))
        else:
            kafka.call_later(delay, self._append, place, batch, answer, False)

    def _append(
        self,
        place: Partition,
        batch: Sequence[ProducerRecord],
        answer: asyncio.Future[int | PublishError] | None,
        late: bool,
    ) -> None:
        doubtful = late or self._log.lost_lease(self._process)
        first = self._log.append(place, [(one.key, one.value, one.headers) for one in batch], doubtful=doubtful)
        self._log.trace.add(self._process.name, "publish", (place, first, len(batch), "doubtful" if doubtful else ""))
        if answer is not None:
            self._log.process.call_later(self._log.random.random() * NAP_SECONDS, _answer, answer, first)


def _answer(answer: asyncio.Future[int | PublishError], result: int | PublishError) -> None:
    if not answer.done():
        answer.set_result(result)
