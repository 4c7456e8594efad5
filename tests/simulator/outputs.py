"""What a service's own topics hold: first occurrences in order, and repeats only where there is a reason."""

from __future__ import annotations

from funnel.envelope import header
from tests.simulator.kafka import Stored
from tests.simulator.world import World


def first_occurrences(world: World, topic: str) -> dict[str, list[Stored]]:
    """The records of `topic` without repeats, by key, in the order of their log. Notes what is wrong with repeats."""
    found: dict[str, list[Stored]] = {}
    seen: dict[str, Stored] = {}
    for partition in world.log.topics[topic]:
        for record in partition.records():
            ce_id = header(record.headers, "ce_id") or ""
            first = seen.setdefault(ce_id, record)
            if first is record:
                found.setdefault((record.key or b"").decode(), []).append(record)
            elif (first.key, first.value, list(first.headers)) != (record.key, record.value, list(record.headers)):
                world.disagree(f"{topic} holds two different records under the id {ce_id}")
            elif not (first.doubtful or record.doubtful):
                world.disagree(f"{topic} repeats {ce_id} although its sender could know that it was there")
    return found
