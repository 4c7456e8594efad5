"""What administrators do to Kafka while everything runs: groups deleted, offsets moved, partitions added."""

from __future__ import annotations

from functools import partial

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from chaos.faults import row
from chaos.faults.brokers import EVENTS
from chaos.faults.seen import positions
from chaos.run import Run
from funnel.topics import topics

_ANSWER_SECONDS = 30.0
_REPORTED_SECONDS = 60.0
_TAKEN_UP_SECONDS = 90.0
"""Producers ask once a minute how many partitions there are, readers every half minute."""
_GROWN_BY = 3
_GROUPS = {"scoring": (EVENTS,), "routing": ("lead-scores", "lead-outcomes"), "metrics": (EVENTS,)}
"""Services and the topics whose offsets are moved."""


@row(29, "consumer groups deleted, their offsets moved to 0, services up", part="a")
async def groups_gone_while_up(run: Run) -> None:
    """The offsets that services report to Kafka are moved to 0, then their groups are deleted, while they work.

    No position moves but forward, nothing is read twice: positions come from Postgres. The offsets are reported again.
    """
    await run.load.reached(0.3)
    async with run.fault("move offsets of the services' groups to 0, delete the groups"):
        for service in _GROUPS:
            await _reported(run, service)
            await run.off(_move_to_start, run, service)
        await run.progress()
        for service in _GROUPS:
            await run.off(_delete, run, service)
        await run.progress()
        for service in _GROUPS:
            await _reported(run, service)


@row(29, "consumer groups deleted, their offsets moved to 0, services down", part="b")
async def groups_gone_while_down(run: Run) -> None:
    """The same while the services stand still; they are then killed, and start without any offset, or with wrong ones.

    Each goes on where its position row says.
    """
    await run.load.reached(0.3)
    async with run.fault("stop services, move or delete their groups, start them"):
        for service, damage in zip(_GROUPS, (_delete, _move_to_start, _delete), strict=True):
            await _reported(run, service)
            await run.deployment.freeze(service)
            await run.off(damage, run, service)
            await run.deployment.kill(service)
            await _reported(run, service)
    await run.progress()


async def _reported(run: Run, service: str) -> None:
    """Return when Kafka has an offset above 0 of the service's group: it was told by the service itself."""

    def above_zero() -> bool:
        return any(place.offset > 0 for place in _offsets(run, service))

    await run.until(above_zero, _REPORTED_SECONDS, f"{service} reports its offsets")


def _group(run: Run, service: str) -> str:
    return run.topic(f"funnel-{service}")


def _offsets(run: Run, service: str) -> list[TopicPartition]:
    asked = ConsumerGroupTopicPartitions(_group(run, service))
    (future,) = run.brokers.admin().list_consumer_group_offsets([asked]).values()
    return list(future.result(_ANSWER_SECONDS).topic_partitions)


def _move_to_start(run: Run, service: str) -> None:
    places = [
        TopicPartition(run.topic(name), number, 0)
        for name in _GROUPS[service]
        for number in range(topics()[name].partitions)
    ]
    moved = ConsumerGroupTopicPartitions(_group(run, service), places)
    (future,) = run.brokers.admin().alter_consumer_group_offsets([moved]).values()
    future.result(_ANSWER_SECONDS)


def _delete(run: Run, service: str) -> None:
    (future,) = run.brokers.admin().delete_consumer_groups([_group(run, service)]).values()
    try:
        future.result(_ANSWER_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise


@row(30, "partitions added while running")
async def partitions_added(run: Run) -> None:
    """lead-events and lead-scores get three partitions more under load: keys move to other partitions.

    All services use the new ones by themselves, within a minute. What is about one lead may now come in two
    partitions at a time; each event is still applied once, since the lead's rows are locked, not its partition.
    """
    await run.load.reached(0.3)
    names = (EVENTS, "lead-scores")
    async with run.fault(f"{_GROWN_BY} more partitions for {' and '.join(names)}"):
        await run.off(_grow, run, names)
        for name in names:
            await run.until(partial(_used, run, name), _TAKEN_UP_SECONDS, f"new partitions of {name} get records")
        for name, service in [(one, reader) for one in names for reader in topics()[one].consumers]:
            what = f"{service} reads the new partitions of {name}"
            await run.until(partial(_read, run, name, service), _TAKEN_UP_SECONDS, what)
    await run.progress()


def _grow(run: Run, names: tuple[str, ...]) -> None:
    wanted = [NewPartitions(run.topic(name), topics()[name].partitions + _GROWN_BY) for name in names]
    for future in run.brokers.admin().create_partitions(wanted).values():
        future.result(_ANSWER_SECONDS)


def _new(name: str) -> range:
    return range(topics()[name].partitions, topics()[name].partitions + _GROWN_BY)


def _used(run: Run, name: str) -> bool:
    ends = run.watcher.ends()
    return all(ends.get((name, number), 0) > 0 for number in _new(name))


def _read(run: Run, name: str, service: str) -> bool:
    """Whether the service has applied records of all new partitions."""
    reached = positions(run, service, name)
    return all(reached.get(number, 0) > 0 for number in _new(name))
