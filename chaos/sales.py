"""A sales tool: reads who got which lead, and has the reps report what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import yaml
from confluent_kafka import Consumer, TopicPartition

from chaos.traffic import Item, outcome
from funnel.contracts import LeadAssignment
from funnel.contracts.registry import decoder
from funnel.demo.people import Person
from funnel.demo.replies import SALES_TOOL, replies
from funnel.demo.team import ENTERPRISE, routing_yaml

_POLL_SECONDS: Final = 0.3
_LARGEST: Final = 500
_NEVER_FULL: Final = 100_000
_TOPIC: Final = "lead-assignments"


def team(people: Sequence[Person]) -> str:
    """The text of `routing.yaml` for a run that plans with these people.

    The pool of large companies has too few places, so some leads are held; the other one always has one, so that leads
    are assigned at every moment of a run.
    """
    document = yaml.safe_load(routing_yaml(people))
    large = {member["rep"] for member in document["pools"][ENTERPRISE]["members"]}
    for rep in document["reps"]:
        if rep["id"] not in large:
            rep["capacity"] = _NEVER_FULL
    text: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    return text


class SalesTool:
    """`look` blocks for a moment; records it cannot get now it gets at a later look."""

    def __init__(self, seed: int, bootstrap: str, prefix: str, partitions: int) -> None:
        self._seed = seed
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"{prefix}sales",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "topic.metadata.refresh.interval.ms": 1000,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,  # brokers that are away are what this is about
            }
        )
        self._consumer.assign([TopicPartition(prefix + _TOPIC, number, 0) for number in range(partitions)])
        self._decode = decoder(_TOPIC)
        self._seen: set[str] = set()

    def look(self) -> list[list[Item]]:
        """The reports about each assignment that is new, in order; each of them once or twice."""
        return [
            [outcome(body, SALES_TOOL) for body, times in reply.outcomes for _ in range(times)]
            for assignment in self._new()
            for reply in replies(self._seed, [(len(self._seen), assignment)], datetime.now(UTC))
        ]

    def close(self) -> None:
        """Let go of the topic."""
        self._consumer.close()

    def _new(self) -> Iterator[LeadAssignment]:
        for message in self._consumer.consume(_LARGEST, timeout=_POLL_SECONDS):
            if message.error() is not None:
                continue
            schema = dict(message.headers() or []).get("ce_dataschema")
            record = self._decode(message.value() or b"", schema.decode() if isinstance(schema, bytes) else None)
            assert isinstance(record, LeadAssignment), msgspec.to_builtins(record)
            if record.status == "assigned" and record.assignment_id not in self._seen:
                self._seen.add(record.assignment_id)
                yield record
