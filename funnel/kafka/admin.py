"""Creates topics and says what they are on the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from funnel.errors import FunnelError
from funnel.kafka.consumer import KafkaAway

REQUEST_SECONDS: Final = 20.0
VISIBLE_SECONDS: Final = 30.0  # a created topic has to reach every broker's metadata and elect its leaders
_POLL_SECONDS: Final = 0.05

_ALREADY_EXISTS: Final = 36
_UNKNOWN_TOPIC: Final = 3


class TopicRefused(FunnelError):
    """The broker does not accept a topic as it is declared."""


@dataclass(frozen=True, slots=True)
class PhysicalTopic:
    """A topic on a broker, by its full name. `replication` is the smallest of its partitions."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class Admin:
    """Made by `connect`. Every method raises KafkaAway when the broker does not answer in time."""

    def __init__(self, client: AIOKafkaAdminClient) -> None:
        self._client = client

    async def create(self, topics: Sequence[PhysicalTopic]) -> None:
        """Create topics and wait until each has a leader everywhere; one that exists is left as it is.

        Raises TopicRefused with the broker's own words.
        """
        if not topics:
            return
        new = [NewTopic(t.name, t.partitions, t.replication, topic_configs=dict(t.config)) for t in topics]
        async with _answers_within(REQUEST_SECONDS):
            response = await self._client.create_topics(new, timeout_ms=int(REQUEST_SECONDS * 1000))
        for name, code, message in response.topic_errors:
            if code not in (0, _ALREADY_EXISTS):
                raise TopicRefused(f"Kafka does not create topic {name}: {message or for_code(code).__name__}.")
        async with _answers_within(VISIBLE_SECONDS):
            await self._wait_for_leaders({topic.name for topic in topics})

    async def _wait_for_leaders(self, names: set[str]) -> None:
        while True:
            # All topics are asked for: asking for one by name creates it where the broker creates on request.
            led = {topic["topic"] for topic in await self._client.describe_topics() if _is_led(topic)}
            if names <= led:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def describe(self, names: Sequence[str], config: Sequence[str]) -> dict[str, PhysicalTopic]:
        """Those of `names` that exist, with the named settings as they are in force."""
        async with _answers_within(REQUEST_SECONDS):
            found = {t["topic"]: t for t in await self._client.describe_topics() if t["topic"] in set(names)}
            settings = await self._settings(list(found), config)
        return {
            name: PhysicalTopic(name, len(topic["partitions"]), _replication(topic), settings.get(name, {}))
            for name, topic in found.items()
        }

    async def _settings(self, names: list[str], config: Sequence[str]) -> dict[str, dict[str, str]]:
        wanted = dict.fromkeys(config, "")
        asked = [ConfigResource(ConfigResourceType.TOPIC, name, wanted) for name in names]
        if not asked:
            return {}
        settings: dict[str, dict[str, str]] = {}
        for response in await self._client.describe_configs(asked):
            for code, message, _, name, entries in response.resources:
                if code not in (0, _UNKNOWN_TOPIC):
                    raise KafkaAway(f"Kafka does not tell the settings of {name} ({message or code}).")
                settings[name] = {entry[0]: entry[1] for entry in entries}
        return settings


@asynccontextmanager
async def connect(bootstrap: str) -> AsyncIterator[Admin]:
    """An `Admin` for the duration of the block. Raises KafkaAway."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=int(REQUEST_SECONDS * 1000))
    try:
        async with _answers_within(REQUEST_SECONDS):
            await client.start()
        yield Admin(client)
    finally:
        await client.close()


@asynccontextmanager
async def _answers_within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise KafkaAway(f"Kafka cannot be reached or does not answer ({type(error).__name__}).") from error


def _is_led(topic: Mapping[str, Any]) -> bool:
    return bool(topic["partitions"]) and all(partition["leader"] >= 0 for partition in topic["partitions"])


def _replication(topic: Mapping[str, Any]) -> int:
    return min((len(partition["replicas"]) for partition in topic["partitions"]), default=0)
