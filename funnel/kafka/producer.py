"""The only producer: acks=all, every record answered for, one batch under way per partition.

Idempotence is off on purpose: a producer with sequence numbers that loses a batch (too old, too large) fails every
later send to that partition. Repeats are absorbed by the readers' inbox.

A record goes out at once when nothing is under way to its broker, else together with all that has come meanwhile, in
one request. So a lone record waits for nobody, and the busier it gets, the less each of them costs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NodeNotReadyError,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
    RecordListTooLargeError,
    UnknownError,
    UnknownTopicOrPartitionError,
)

from funnel.failpoints import reach
from funnel.kafka.brokers import Brokers
from funnel.kafka.lanes import Acknowledged, Call, Held, Lane, ProducerRecord, PublishError
from funnel.kafka.partitioner import partition_of
from funnel.kafka.produce import Place
from funnel.settings import Settings

__all__ = ["Acknowledged", "Producer", "ProducerRecord", "PublishError"]

DEADLINE_SECONDS = 5.0
RETRY_SECONDS = 0.1
_CLOSE_SECONDS = 5.0
RECORD_BYTES_MAX = 800_000
# Not yet acknowledged bytes this process may hold; beyond it publishing fails at once instead of eating memory.
PENDING_BYTES_MAX = 64 * 1024 * 1024
# What the headers of our records take, with room. Only those of large records are counted: it takes as long as all
# else that is done to queue a record.
_USUAL_HEADERS_BYTES = 700
_LARGE_BYTES = RECORD_BYTES_MAX // 2


_NOT_STORED = (
    LeaderNotAvailableError,
    NodeNotReadyError,
    NotEnoughReplicasError,
    NotLeaderForPartitionError,
    UnknownTopicOrPartitionError,
)
"""After these it is certain that a batch is not in the log, so that sending it again cannot double it."""


@dataclass(slots=True)
class _Sender:
    """The lanes that wait for one broker; `task` sends one request after the other while there are any."""

    lanes: list[Lane] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Producer:
    """Publishes records in per-partition batches and answers for each record."""

    def __init__(self, bootstrap: str, client_id: str, *, repeats: bool = False, in_order: bool = False) -> None:
        """`repeats`: a batch of which nothing is known, after a lost connection for example, is sent again.

        That is for records whose readers take each id once. Without it such a batch fails, and the caller looks
        whether it is in the log. `in_order`: of a call, a record that is too large holds back those of its key that
        come after it; they fail, and are not too large. Without it nobody else is concerned.
        """
        self._repeats = repeats
        self._in_order = in_order
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._client: Brokers | None = None
        self._connecting: asyncio.Task[Brokers] | None = None
        self._lanes: dict[str, list[Lane]] = {}
        self._held = Held()
        self._senders: dict[int | None, _Sender] = {}
        self._pausing: dict[Place, tuple[Lane, asyncio.TimerHandle]] = {}
        self._trouble: str | None = None
        self._is_closing = False
        self._closing: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(
        cls, settings: Settings, *, client_id: str = "funnel", repeats: bool = False, in_order: bool = False
    ) -> Producer:
        """A producer that tries to connect now but also comes up while Kafka is away (`ready` tells)."""
        producer = cls(settings.kafka_bootstrap, client_id, repeats=repeats, in_order=in_order)
        try:
            await producer._connected()
        except PublishError as error:
            producer._trouble = str(error)
        return producer

    def ready(self) -> str | None:
        """None when the last exchange with Kafka went well, else what is wrong."""
        return self._trouble

    async def partitions(self, topic: str) -> int:
        """How many partitions `topic` has. Raises PublishError when Kafka does not say."""
        client = self._client or await self._connected()
        if count := client.partitions(topic):
            return count
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await client.learn(topic)
        except (KafkaError, TimeoutError) as error:
            raise PublishError(f"Kafka does not tell the partitions of {topic} ({type(error).__name__}).") from error
        return client.partitions(topic)

    async def publish(self, records: Sequence[ProducerRecord]) -> list[Acknowledged | PublishError]:
        """Send all records; returns one result per record in order, after every one is acknowledged or failed.

        Records of one partition are stored in the order given; after a failure the rest queued for that partition
        fails too, so that nothing overtakes. When the caller is cancelled, nothing of it is sent that is not on its
        way yet.
        """
        if not records:
            return []
        try:
            lanes = {topic: await self._lanes_of(topic) for topic in {record.topic for record in records}}
        except PublishError as error:
            return [error] * len(records)
        call = Call([None] * len(records), len(records), asyncio.get_running_loop().create_future())
        call.refused = set() if self._in_order else None
        for index, record in enumerate(records):
            self._enqueue(record, index, call, lanes[record.topic])
        try:
            await call.done
        except asyncio.CancelledError:
            call.given_up = True
            raise
        return [result for result in call.results if result is not None]

    async def close(self) -> None:
        """Wait for what is under way, then close. What could not be sent at the first try fails."""
        self._is_closing = True
        while self._pausing:
            _, (lane, timer) = self._pausing.popitem()
            timer.cancel()
            lane.fail(PublishError("The producer is closed."))
        tasks = [task for task in (self._connecting, *(s.task for s in self._senders.values())) if task]
        if tasks:
            await asyncio.wait(tasks, timeout=DEADLINE_SECONDS)
        if self._client is not None:
            self._discard(self._client)
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_SECONDS)

    async def _lanes_of(self, topic: str) -> Sequence[Lane]:
        count = await self.partitions(topic)
        lanes = self._lanes.setdefault(topic, [])
        while len(lanes) < count:
            lanes.append(Lane(Place(topic, len(lanes)), self._held))
        return lanes if len(lanes) == count else lanes[:count]

    def _enqueue(self, record: ProducerRecord, index: int, call: Call, lanes: Sequence[Lane]) -> None:
        size = len(record.key) + len(record.value) + _USUAL_HEADERS_BYTES
        if size > _LARGE_BYTES and (size := record.size()) > RECORD_BYTES_MAX:
            message = f"The record has {size} bytes, {RECORD_BYTES_MAX} are allowed."
            call.settle(index, PublishError(message, too_large=True))
            return
        if self._held.bytes + size > PENDING_BYTES_MAX:
            call.settle(index, PublishError("Too much is waiting for Kafka already; retry later."))
            return
        self._held.bytes += size
        lane = lanes[partition_of(record.key, len(lanes))]
        lane.queue.append((record, index, call, size))
        if not lane.listed:
            self._list(lane)

    def _list(self, lane: Lane) -> None:
        """Give a lane to the sender that serves the leader of its partition."""
        lane.listed = True
        leader = None if self._client is None else self._client.leader(lane.place)
        sender = self._senders.get(leader)
        if sender is None:
            sender = self._senders[leader] = _Sender()
        sender.lanes.append(lane)
        if sender.task is None:
            sender.task = asyncio.create_task(self._serve(leader, sender))

    async def _serve(self, leader: int | None, sender: _Sender) -> None:
        lanes: list[Lane] = []
        try:
            while sender.lanes:
                lanes, sender.lanes = sender.lanes, []
                if leader is None or self._client is None:
                    await self._find_leaders(lanes)
                else:
                    await self._send(self._client, leader, lanes)
        except BaseException as error:  # a bug, or the loop ends: nobody may wait for ever
            for lane in (*lanes, *sender.lanes):
                lane.fail(PublishError(f"Sending failed ({type(error).__name__})."))
            sender.lanes = []
            raise
        finally:
            sender.task = None

    async def _find_leaders(self, lanes: Sequence[Lane]) -> None:
        """Give each lane to the sender of its leader, as soon as it has one."""
        try:
            client = await self._connected()
        except PublishError as error:
            for lane in lanes:
                lane.fail(error)
            return
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        for lane in lanes:
            lane.give_up_at = min(lane.give_up_at, give_up_at)
            if client.leader(lane.place) is None:
                self._try_later(client, lane, LeaderNotAvailableError())
            else:
                self._list(lane)

    async def _send(self, client: Brokers, leader: int, lanes: Sequence[Lane]) -> None:
        """Send the next batch of each lane to the broker that leads them, and settle what it answers."""
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        for lane in lanes:
            lane.give_up_at = min(lane.give_up_at, give_up_at)
        if not await client.reach(leader):
            for lane in lanes:
                self._try_later(client, lane, NodeNotReadyError())
            return
        now_ms = int(time.time() * 1000)
        # From here to the write nothing waits, so nobody can give up in between.
        batches = [(lane.place, batch) for lane in lanes if (batch := lane.take(now_ms)) is not None]
        answers: Mapping[Place, int | Exception] = {}
        try:
            if batches:
                reach("producer.send.before")
                answers = await client.produce(leader, batches)
                reach("producer.send.after")
        except (KafkaError, TimeoutError, OSError) as error:
            answers = dict.fromkeys([place for place, _ in batches], error)
        for lane in lanes:
            self._conclude(client, lane, answers.get(lane.place, UnknownError()))

    def _conclude(self, client: Brokers, lane: Lane, answer: int | Exception) -> None:
        """Settle the batch under way by what the broker said of it, and see to what waits behind it."""
        if not lane.batch:
            pass  # everybody had given up
        elif isinstance(answer, int):
            lane.acknowledge(answer)
            self._trouble = None
        elif isinstance(answer, MessageSizeTooLargeError | RecordListTooLargeError):
            lane.split()
        else:
            self._try_later(client, lane, answer)
            return
        if lane.queue:
            self._list(lane)
        else:
            lane.listed = False

    def _try_later(self, client: Brokers, lane: Lane, trouble: Exception) -> None:
        """Try the batch under way again after a pause; fail when that is in vain, took too long or may double it."""
        may_try = isinstance(trouble, _NOT_STORED) or (self._repeats and getattr(trouble, "retriable", True))
        if self._is_closing or not may_try or time.monotonic() >= lane.give_up_at:
            lane.fail(self._failed(client, trouble))
            return
        lane.put_back()
        client.ask_again()
        timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._go_on, lane)
        self._pausing[lane.place] = lane, timer

    def _go_on(self, lane: Lane) -> None:
        del self._pausing[lane.place]
        self._list(lane)

    async def _connected(self) -> Brokers:
        if self._client is not None:
            return self._client
        if self._connecting is None:  # one attempt for all who wait
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_retrieve)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Brokers:
        try:
            client = await Brokers.connect(self._bootstrap, self._client_id, list(self._lanes), DEADLINE_SECONDS)
        except (KafkaError, TimeoutError, OSError) as error:
            self._trouble = f"Kafka cannot be reached at {self._bootstrap} ({type(error).__name__})."
            raise PublishError(self._trouble) from error
        finally:
            self._connecting = None
        self._client, self._trouble = client, None
        return client

    def _failed(self, client: Brokers, error: Exception) -> PublishError:
        """Throw the client away (it may be wedged) and name the trouble; whether it is stored is unknown."""
        self._trouble = f"Kafka did not acknowledge within {DEADLINE_SECONDS:g} s ({type(error).__name__})."
        if self._client is client:
            self._client = None
            self._discard(client)
        failure = PublishError(self._trouble)
        failure.__cause__ = error
        return failure

    def _discard(self, client: Brokers) -> None:
        task = asyncio.create_task(client.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _retrieve(attempt: asyncio.Task[Brokers]) -> None:
    """Take note of a failure nobody waits for any more; asyncio would otherwise complain when it is collected."""
    if not attempt.cancelled():
        attempt.exception()
