"""The topics: as `schemas/topics/*.yaml` declares them, created from there, and compared with the broker."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import yaml

from funnel import schemas
from funnel.kafka import admin
from funnel.kafka.admin import PhysicalTopic
from funnel.schemas import BadSchemas
from funnel.settings import Settings

Environment = Literal["production", "embedded"]

_DAY_MS: Final = 86_400_000

Positive = Annotated[int, msgspec.Meta(ge=1)]


class Replication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many copies a record has, and how many must be written before it is acknowledged."""

    factor: Positive
    min_insync: Positive


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One topic file. `name` is the logical name, without the prefix of a test or a tenant."""

    name: str
    description: str
    producers: list[str]
    consumers: list[str]
    key: str
    partitions: Positive
    partitions_may_grow: bool
    retention_days: Positive
    config: dict[str, str]
    replication: dict[Environment, Replication]
    versions: dict[Positive, str]
    body_alone: Positive | None = None

    def broker_config(self, environment: Environment) -> dict[str, str]:
        """The topic's settings on a broker, by Kafka's names."""
        return {
            **self.config,
            "retention.ms": str(self.retention_days * _DAY_MS),
            "min.insync.replicas": str(self.replication[environment].min_insync),
        }


@cache
def topics() -> dict[str, Topic]:
    """Every topic by its logical name. Raises BadSchemas naming the file and the field."""
    return load(schemas.folder() / "topics")


def load(directory: Path) -> dict[str, Topic]:
    """The topic files of `directory`, in order of name. Raises BadSchemas naming the file and the field."""
    return {path.stem: _read(path) for path in sorted(directory.glob("*.yaml"))}


def _read(path: Path) -> Topic:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        fields = {"name": path.stem, **content} if isinstance(content, dict) else content
        topic = msgspec.convert(fields, Topic)
        for dataschema in topic.versions.values():
            schemas.split(dataschema)
    except (yaml.YAMLError, msgspec.ValidationError, BadSchemas) as error:
        raise BadSchemas(f"{path}: {error}") from error
    contradiction = _contradiction(topic)
    if contradiction is not None:
        raise BadSchemas(f"{path}: {contradiction}")
    return topic


def _contradiction(topic: Topic) -> str | None:
    if set(topic.replication) != {"production", "embedded"}:
        return "replication needs both production and embedded - at `$.replication`"
    if topic.body_alone is not None and topic.body_alone not in topic.versions:
        return f"version {topic.body_alone} is not listed in versions - at `$.body_alone`"
    for environment, copies in topic.replication.items():
        if copies.min_insync > copies.factor:
            return f"min_insync is above factor - at `$.replication.{environment}`"
    return None


def environment(settings: Settings) -> Environment:
    """Which of a topic's replication settings count: the embedded broker is one broker."""
    return "embedded" if settings.waive_replication else "production"


async def ensure_topics(
    bootstrap: str, *, prefix: str = "", partitions: int | None = None, environment: Environment = "production"
) -> list[str]:
    """Create the declared topics that are missing, and return how those on the broker differ from their files.

    An existing topic is never changed: more partitions would move keys, and other settings are an operator's
    decision. `partitions` stands in for the files' number. Raises BadSchemas, KafkaAway, TopicRefused.
    """
    wanted = {topic.name: _physical(topic, prefix, partitions, environment) for topic in topics().values()}
    async with admin.connect(bootstrap) as broker:
        found = await _found(broker, wanted)
        missing = [topic for name, topic in wanted.items() if name not in found]
        if missing:
            await broker.create(missing)
            found = await _found(broker, wanted)  # another process may have created them, differently
    return _differences(wanted, found)


async def drift(
    bootstrap: str, *, prefix: str = "", partitions: int | None = None, environment: Environment = "production"
) -> list[str]:
    """One sentence per difference between the topic files and the broker; creates nothing.

    Raises BadSchemas and KafkaAway.
    """
    wanted = {topic.name: _physical(topic, prefix, partitions, environment) for topic in topics().values()}
    async with admin.connect(bootstrap) as broker:
        found = await _found(broker, wanted)
    missing = [f"{topic.name} does not exist" for name, topic in wanted.items() if name not in found]
    return missing + _differences(wanted, found)


async def _found(broker: admin.Admin, wanted: Mapping[str, PhysicalTopic]) -> dict[str, PhysicalTopic]:
    settings = sorted({name for topic in wanted.values() for name in topic.config})
    described = await broker.describe([topic.name for topic in wanted.values()], settings)
    return {name: described[topic.name] for name, topic in wanted.items() if topic.name in described}


def _physical(topic: Topic, prefix: str, partitions: int | None, environment: Environment) -> PhysicalTopic:
    return PhysicalTopic(
        name=prefix + topic.name,
        partitions=partitions or topic.partitions,
        replication=topic.replication[environment].factor,
        config=topic.broker_config(environment),
    )


def _differences(wanted: Mapping[str, PhysicalTopic], found: Mapping[str, PhysicalTopic]) -> list[str]:
    return [line for name, actual in found.items() for line in _differs(topics()[name], wanted[name], actual)]


def _differs(topic: Topic, wanted: PhysicalTopic, actual: PhysicalTopic) -> list[str]:
    """What sets `actual` apart. More partitions or replicas than declared are growth, where growth is allowed."""
    found = []
    if actual.partitions < wanted.partitions:
        found.append(f"{wanted.name} has {actual.partitions} partitions, its file says {wanted.partitions}")
    if actual.partitions > wanted.partitions and not topic.partitions_may_grow:
        found.append(
            f"{wanted.name} has {actual.partitions} partitions and must not have more than {wanted.partitions}:"
            " records of one lead may be out of order"
        )
    if actual.replication < wanted.replication:
        found.append(f"{wanted.name} has replication {actual.replication}, its file says {wanted.replication}")
    found += [
        f"{wanted.name} has {name}={actual.config.get(name)}, its file says {value}"
        for name, value in wanted.config.items()
        if actual.config.get(name) != value
    ]
    return found
