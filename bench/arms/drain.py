"""Draining a filled topic: the services start on it, and the clock runs from their first batch to their last record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from bench import services, spine_service
from bench.figures import Figure
from bench.ground import Ground
from bench.machine import Meter, Usage
from bench.run import Bench
from bench.servers import BROKER, POSTGRES
from bench.services import Progress, Service


@dataclass(frozen=True, slots=True)
class Drained:
    """`events` were applied within `usage`; `figures` are what they cost."""

    events: int
    usage: Usage
    figures: Mapping[str, float]


def drain(
    bench: Bench,
    ground: Ground,
    modules: Mapping[str, str],
    records: int,
    finish: Callable[[Progress, list[Service]], None],
) -> Drained:
    """Run the services until the first has passed `records` records and `finish` returns.

    Costs are counted from the first's first batch on, without what it took to start. Raises RunFailed.
    """
    ground.settle()
    first = next(iter(modules))
    with Progress(ground) as progress:
        rows, wal = progress.rows_written(), progress.wal_bytes()
        with services.running(ground, modules, bench.profiling) as found:
            running = list(found.values())
            bench.screen.begin("draining", records)
            services.until(running, lambda: progress.applied(first), lambda count: count > 0)
            meter = Meter(parties(bench, found))
            before = progress.applied(first)  # the clock starts here: looking at all processes takes its time
            services.until(running, lambda: bench.screen.at(progress.passed(first)), lambda count: count >= records)
            finish(progress, running)
            usage = meter.usage()
            applied = progress.applied(first)
            count, seconds = services.batches(ground.settings.url_of(_port(first)))
        progress.wait_for_statistics()
        costs = {
            "rows_per_event": (progress.rows_written() - rows) / applied,
            "wal_bytes_per_event": (progress.wal_bytes() - wal) / applied,
            "events_per_transaction": applied / count,
            "ms_per_transaction": seconds / count * 1000,
        }
    events = max(1, applied - before)  # so few that the first look saw them all: good for a test of the bench
    rate = {"events_per_s": events / usage.seconds}
    return Drained(events, usage, rate | cpu_per(usage, events) | costs)


def parties(bench: Bench, found: Mapping[str, Service]) -> dict[str, psutil.Process | None]:
    """Whose CPU time is told apart."""
    own = {name: service.process for name, service in found.items()}
    return {**own, POSTGRES: bench.servers.postgres, BROKER: bench.servers.kafka}


def cpu_per(usage: Usage, count: int) -> dict[str, float]:
    """Microseconds of CPU for each of `count`, by party and together."""
    costs = {f"cpu_us_{party}": seconds / count * 1e6 for party, seconds in usage.cpu.items()}
    return {**costs, "cpu_us": sum(costs.values())}


def cpu_figures(unit: str, *parties: str) -> list[Figure]:
    """How `cpu_per` is shown."""
    names = {"cpu_us": "in all"} | {f"cpu_us_{party}": party for party in (*parties, POSTGRES, BROKER)}
    return [Figure(name, f"CPU µs per {unit}, {text}", digits=1) for name, text in names.items()]


def transaction_figures() -> Sequence[Figure]:
    """What a drain tells of Postgres."""
    return (
        Figure("rows_per_event", "rows written per event", digits=2),
        Figure("wal_bytes_per_event", "bytes of log per event"),
        Figure("events_per_transaction", "events per transaction"),
        Figure("ms_per_transaction", "ms per transaction", digits=1),
    )


def all_sent(schema: str) -> Callable[[Progress, list[Service]], None]:
    """Waits until the service has published everything it decided."""

    def wait(progress: Progress, running: list[Service]) -> None:
        services.until(running, lambda: int(progress.all_sent(schema)), bool)

    return wait


def _port(name: str) -> str:
    return "scoring" if name == spine_service.NAME else name  # which stands in its place
