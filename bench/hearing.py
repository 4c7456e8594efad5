"""Sending at a fixed rate from one process and listening in this one: how long things are under way."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import open_loop
from bench.errors import RunFailed
from bench.ground import Ground
from bench.open_loop import Sent
from bench.records import Reader, Record
from bench.screen import Screen
from funnel.embedded.process import Child, Program

SILENCE_SECONDS = 10.0
"""After the last answer, so long without a record means that no more will come."""

_WAIT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Heard:
    """What was sent, in the order of the schedule, and what was read: (moment of arrival, record)."""

    sent: Sequence[Sent]
    arrivals: Sequence[tuple[float, Record]]

    def latencies(self, numbers: Mapping[str, int], warm_up: int) -> list[float]:
        """Milliseconds from the schedule to the first arrival of each but the first `warm_up`; `numbers` by key."""
        first: dict[int, float] = {}
        for moment, record in self.arrivals:
            first.setdefault(numbers.get(record.key.decode(), -1), moment)
        return [
            (first[number] - sent.due) * 1000
            for number, sent in enumerate(self.sent)
            if number >= warm_up and number in first
        ]

    def problems(self, what: str, numbers: Mapping[str, int]) -> list[str]:
        """What was not accepted, did not come, came twice, or was never sent."""
        keys = [record.key.decode() for _, record in self.arrivals]
        refused = Counter(sent.status for sent in self.sent if sent.status != open_loop.ACCEPTED)
        found = {
            **{f"posts were answered {status}": number for status, number in refused.items()},
            f"{what} did not come": len(numbers.keys() - set(keys)),
            f"{what} came twice": len(keys) - len(set(keys)),
            f"{what} were never asked for": len(set(keys) - numbers.keys()),
        }
        return [f"{number} {text}" for text, number in found.items() if number]


def hear(screen: Screen, place: Ground, topic: str, load: Sequence[str]) -> Heard:
    """Run the Python module and arguments in `load`, and read `topic` until all has come or nothing comes any more.

    Raises RunFailed when the load generator ends without a result.
    """
    arrivals: list[tuple[float, Record]] = []
    with Reader(place.settings.kafka_bootstrap, place.topic(topic)) as reader, _loading(place, topic, load) as child:
        result = place.home / f"{topic}.sent"
        sent, last = None, time.monotonic()
        while sent is None or (len(arrivals) < len(sent) and time.monotonic() - last < SILENCE_SECONDS):
            record = reader.next(_WAIT_SECONDS)
            if record is not None:
                last = time.monotonic()
                arrivals.append((last, record))
                screen.at(len(arrivals))
            sent = sent or open_loop.read(result)
            if sent is None and not child.running() and not result.exists():
                raise RunFailed(f"The load generator ended, {child.why_ended()}")
    return Heard(sent, arrivals)


@contextmanager
def _loading(place: Ground, topic: str, load: Sequence[str]) -> Iterator[Child]:
    result: Path = place.home / f"{topic}.sent"
    program = Program("load", (sys.executable, "-m", *load, str(result)))
    child = Child.start(program, place.home / "logs" / f"load-{topic}.log", ends_with_us=True)
    try:
        yield child
    finally:
        child.stop()
