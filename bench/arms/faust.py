"""The job of the bare spine done by faust-streaming: how fast, and what a kill -9 in the middle costs.

Runs only where faust-streaming can be imported, in this Python or in the one named by --faust-python.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from bench import checks
from bench.arms.drain import cpu_per
from bench.checks import Losses
from bench.errors import RunFailed
from bench.events import EVENTS_PER_PERSON, counted
from bench.figures import Figure
from bench.ground import Ground, ground
from bench.machine import Meter
from bench.records import Reader, create_topics, fill
from bench.run import Arm, Bench, Outcome
from bench.servers import BROKER
from bench.spine_service import EVENTS, RESULTS
from funnel.embedded.process import Child, Program

GUARANTEES = {"at_least_once": "at least once", "exactly_once": "exactly once"}
SILENCE_SECONDS = 45.0
"""So long without a result means that no more will come: well above its session timeout and its commit interval."""

_WAIT_SECONDS = 0.1


class Counted(msgspec.Struct):
    """One result: the nth event of a person, and how many of them had been applied by then."""

    person: str
    n: int
    applied: int


_counted = msgspec.json.Decoder(Counted)


class Tally:
    """The results that have come, and when the first and the last came."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.totals: dict[str, int] = {}
        self.different: set[tuple[str, int]] = set()
        self.first = self.last = time.monotonic()

    def add(self, value: bytes) -> None:
        result = _counted.decode(value)
        self.last = time.monotonic()
        self.first = self.first if self.seen else self.last
        self.seen.append((result.person, result.n))
        self.different.add((result.person, result.n))
        self.totals[result.person] = result.applied

    def rate(self) -> float:
        """Results per second, from the first to the last."""
        return len(self.seen) / max(self.last - self.first, 1e-9)

    def losses(self, events: int) -> Losses:
        """Compared with every event counted once."""
        return checks.of_events(self.seen, events // EVENTS_PER_PERSON, EVENTS_PER_PERSON, self.totals)


def run(bench: Bench) -> Outcome:
    """Both guarantees, each drained in peace and drained with a kill."""
    whole = Meter({BROKER: bench.servers.kafka})
    figures: dict[str, float] = {}
    problems: list[str] = []
    for guarantee, name in GUARANTEES.items():
        found, losses = _drained(bench, guarantee)
        problems += [f"{name}: {text}" for text in checks.problems_of(losses)]
        killed = _killed(bench, guarantee)
        found |= {"killed_lost": killed.lost, "killed_repeated": killed.repeated, "killed_wrong": killed.wrong}
        figures |= {f"{guarantee}_{key}": value for key, value in found.items()}
    return Outcome(figures, whole.usage(), problems)


def _drained(bench: Bench, guarantee: str) -> tuple[dict[str, float], Losses]:
    events = bench.sizes.faust_events
    with _filled(bench, guarantee) as (place, reader):
        with _worker(bench, place, guarantee) as child:
            tally = Tally()
            _listen(bench, reader, tally, child, lambda: bool(tally.seen))
            meter, before = Meter({"faust": child.identity.find(), BROKER: bench.servers.kafka}), len(tally.seen)
            _listen(bench, reader, tally, child, lambda: len(tally.different) >= events)
            usage, taken = meter.usage(), len(tally.seen) - before
        return {"events_per_s": tally.rate(), **cpu_per(usage, taken)}, tally.losses(events)


def _killed(bench: Bench, guarantee: str) -> Losses:
    events = bench.sizes.faust_events
    tally = Tally()
    with _filled(bench, guarantee) as (place, reader):
        with _worker(bench, place, guarantee) as child:
            _listen(bench, reader, tally, child, lambda: len(tally.different) >= events // 2)
            os.kill(child.identity.pid, signal.SIGKILL)
        with _worker(bench, place, guarantee) as child:
            _listen(bench, reader, tally, child, lambda: False)
    return tally.losses(events)


def _listen(bench: Bench, reader: Reader, tally: Tally, child: Child, done: Callable[[], bool]) -> None:
    """Take in results until `done`, or nothing comes any more. Raises RunFailed when the worker ends."""
    since = time.monotonic()
    while not done() and time.monotonic() - since < SILENCE_SECONDS:
        record = reader.next(_WAIT_SECONDS)
        if record is not None:
            tally.add(record.value)
            since = tally.last
            bench.screen.at(len(tally.different))
        elif not child.running():
            raise RunFailed(f"faust ended, {child.why_ended()}")


@contextmanager
def _filled(bench: Bench, guarantee: str) -> Iterator[tuple[Ground, Reader]]:
    events = bench.sizes.faust_events
    with ground(bench.servers, bench.folder) as place:
        bootstrap = place.settings.kafka_bootstrap
        create_topics(bootstrap, [place.topic(EVENTS), place.topic(RESULTS)])
        fill(bootstrap, place.topic(EVENTS), counted(events), bench.screen.advance)
        bench.screen.begin(f"faust, {GUARANTEES[guarantee]}", events)
        with Reader(bootstrap, place.topic(RESULTS)) as reader:
            yield place, reader


@contextmanager
def _worker(bench: Bench, place: Ground, guarantee: str) -> Iterator[Child]:
    settings = place.settings
    argv = (
        "-m",
        "bench.faust_worker",
        settings.kafka_bootstrap,
        settings.topic_prefix,
        guarantee,
        str(place.home / "faust"),
    )
    if bench.faust_python is None:
        raise RunFailed("faust-streaming is not installed.")
    log = bench.folder / "logs" / "faust.log"
    child = Child.start(Program("faust", (bench.faust_python, *argv)), log, ends_with_us=True)
    try:
        yield child
    finally:
        child.stop()


def _figures(guarantee: str, name: str) -> tuple[Figure, ...]:
    return (
        Figure(f"{guarantee}_events_per_s", f"{name}: events/s"),
        Figure(f"{guarantee}_cpu_us_faust", f"{name}: CPU µs per event, faust", digits=1),
        Figure(f"{guarantee}_cpu_us_{BROKER}", f"{name}: CPU µs per event, {BROKER}", digits=1),
        Figure(f"{guarantee}_killed_lost", f"{name}, killed once: events lost"),
        Figure(f"{guarantee}_killed_repeated", f"{name}, killed once: results repeated"),
        Figure(f"{guarantee}_killed_wrong", f"{name}, killed once: people with a wrong state"),
    )


ARM = Arm("faust", "faust-streaming", tuple(f for g, n in GUARANTEES.items() for f in _figures(g, n)), run)
