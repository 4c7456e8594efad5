"""Posting events to a service as fast as it answers, and finding each of them in its topic afterwards."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bench import checks, intake_load
from bench.errors import RunFailed
from bench.events import rich
from bench.ground import Ground
from bench.intake_load import Posted
from bench.machine import Meter, Usage
from bench.records import read_all
from bench.run import Bench
from bench.servers import BROKER
from bench.services import Service
from funnel.embedded.process import Child, Program

_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Way:
    """A way in: requests of `batch` events to `path` of a service, `at_once` under way, which writes to `topic`."""

    text: str
    service: str
    path: str
    batch: int
    at_once: int
    topic: str


@dataclass(frozen=True, slots=True)
class Door:
    """Where a service listens, the key that it lets in, and the source whose key that is."""

    service: Service
    host: str
    port: int
    key: str
    source: str


@dataclass(slots=True)
class Posting:
    """What was posted on one ground: `sent` must be on the topics, `problems` are answers that were not right."""

    bench: Bench
    place: Ground
    sent: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)

    def post(self, way: Way, door: Door, requests: int, label: str) -> tuple[Posted, Usage]:
        """Post so many requests of events whose ids begin with `label`. Raises RunFailed."""
        events = rich(label, requests * way.batch, self.bench.now)
        groups = [events[at : at + way.batch] for at in range(0, len(events), way.batch)]
        bodies = self.place.home / f"bodies-{label}"
        bodies.write_bytes(b"\n".join(map(_body, groups)))
        self.bench.screen.say(f"{way.text}, {requests} requests")
        meter = Meter({way.service: door.service.process, BROKER: self.bench.servers.kafka})
        posted = self._load(way, door, bodies)
        usage = meter.usage()
        self.sent[way.topic] += [{**event, "source": door.source} for event in events]  # told by the key alone
        ids = [[event["event_id"] for event in group] for group in groups]
        self.problems += [f"{way.text}: {text}" for text in checks.of_answers(posted.answers, ids)]
        return posted, usage

    def stored_wrongly(self) -> list[str]:
        """What is wrong with the records on the topics."""
        found: list[str] = []
        for topic, sent in self.sent.items():
            records = read_all(self.place.settings.kafka_bootstrap, self.place.topic(topic))
            stored = [msgspec.json.decode(record.value) for record in records]
            found += [f"{topic}: {text}" for text in checks.of_stored(stored, sent)]
        return found

    def _load(self, way: Way, door: Door, bodies: Path) -> Posted:
        result = bodies.with_suffix(".answers")
        where = (door.host, str(door.port), way.path, door.key, str(way.at_once))
        argv = (sys.executable, "-m", "bench.intake_load", *where, str(bodies), str(result))
        child = Child.start(Program("load", argv), self.place.home / "logs" / "load.log", ends_with_us=True)
        try:
            while child.running():
                door.service.check()
                time.sleep(_LOOK_SECONDS)
        finally:
            child.stop()
        if not result.exists():
            raise RunFailed(f"The load generator ended, {child.why_ended()}")
        return intake_load.read(result)


def _body(group: Sequence[Mapping[str, Any]]) -> bytes:
    return msgspec.json.encode(group[0] if len(group) == 1 else {"events": group})
