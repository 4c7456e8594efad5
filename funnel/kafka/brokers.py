"""The brokers of a cluster as a producer sees them: who leads a partition, and produce requests.

This is aiokafka's client below its producer. The producer adds an accumulator with futures and tasks for every batch,
which cost as much as sending it, and which may still send a batch after its caller was told that it failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from funnel.kafka.produce import Answers, Batch, Place, Produce, answers_in

METADATA_MAX_AGE_MS: Final = 60_000
_LEARN_AGAIN_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 5.0
_NO_LEADER: Final = -1
_MAGIC: Final = 2
_UNCOMPRESSED: Final = 0
_NOT_IDEMPOTENT: Final = (0, -1, -1, 0)  # no transaction, no producer id, no epoch, no sequence


class Brokers:
    """A connection to a cluster. After any doubt it is closed, and another one made."""

    def __init__(self, client: AIOKafkaClient, request_ms: int) -> None:
        self._client = client
        self._request_ms = request_ms
        self._under_way = 0
        self._at_rest = asyncio.Event()
        self._at_rest.set()

    @classmethod
    async def connect(cls, bootstrap: str, client_id: str, topics: Iterable[str], seconds: float) -> Brokers:
        """A connection that knows who leads `topics`; `seconds` bounds this and later each request.

        Raises KafkaError, TimeoutError or OSError.
        """
        milliseconds = int(seconds * 1000)
        client = AIOKafkaClient(
            bootstrap_servers=bootstrap,
            client_id=client_id,
            request_timeout_ms=milliseconds,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        brokers = cls(client, milliseconds)
        try:
            async with asyncio.timeout(seconds):
                await client.bootstrap()
                if known := list(topics):
                    await client.set_topics(known)
        except BaseException:
            await brokers.close()
            raise
        return brokers

    def partitions(self, topic: str) -> int:
        """How many partitions `topic` has; 0 when that is not known yet."""
        return len(self._client.cluster.partitions_for_topic(topic) or ())

    async def learn(self, topic: str) -> None:
        """Wait until the partitions of `topic` are known; for ever if it does not exist. Raises KafkaError."""
        await self._client.add_topic(topic)
        while not self.partitions(topic):
            if topic in self._client.cluster.unauthorized_topics:
                raise TopicAuthorizationFailedError(topic)
            await asyncio.sleep(_LEARN_AGAIN_SECONDS)
            await self._client.force_metadata_update()

    def leader(self, place: Place) -> int | None:
        """The broker that takes the records of a partition, or None while none is known."""
        node: int | None = self._client.cluster.leader_for_partition(place)
        return None if node == _NO_LEADER else node

    def ask_again(self) -> None:
        """Have the leaders looked up in the background: something said that they have changed."""
        self._client.force_metadata_update()

    async def reach(self, node: int) -> bool:
        """Whether there is a connection to a broker, made if need be. After it `produce` writes at once."""
        return bool(await self._client.ready(node))

    async def produce(self, node: int, batches: Sequence[tuple[Place, Batch]]) -> Answers:
        """Send a batch per partition to their leader; returns once all in-sync replicas have them, or will not.

        Raises KafkaError when nothing is known of any of them.
        """
        self._under_way += 1
        self._at_rest.clear()
        try:
            return answers_in(await self._client.send(node, Produce(batches, self._request_ms)))
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._at_rest.set()

    async def close(self) -> None:
        """Close all connections once nothing is under way. Never raises for brokers that are away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._at_rest.wait()
        with suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()


def batch_builder(bytes_max: int) -> Any:
    """Takes records by `append(offset, timestamp_ms, key, value, headers)`; None when one does not fit any more."""
    return DefaultRecordBatchBuilder(_MAGIC, _UNCOMPRESSED, *_NOT_IDEMPOTENT, bytes_max)
