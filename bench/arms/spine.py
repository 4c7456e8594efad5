"""The bare spine: how fast the machinery is when the service itself does next to nothing. And killed once."""

from __future__ import annotations

import msgspec
import psycopg

from bench import checks, services, spine_service
from bench.arms.drain import all_sent, cpu_figures, drain, transaction_figures
from bench.checks import Losses
from bench.events import EVENTS_PER_PERSON, counted
from bench.figures import Figure
from bench.ground import Ground, ground
from bench.records import create_topics, fill, read_all
from bench.run import Arm, Bench, Outcome
from bench.services import Progress
from bench.spine_service import EVENTS, NAME, RESULTS, Result
from funnel.postgres.migrate import migrate

MODULE = "bench.spine_service"

_results = msgspec.json.Decoder(Result)


def run(bench: Bench) -> Outcome:
    """Drain; then drain a quarter as much, with a kill -9 in the middle."""
    events = bench.sizes.spine_events
    with ground(bench.servers, bench.folder) as place:
        _prepare(bench, place, events)
        drained = drain(bench, place, {NAME: MODULE}, events, all_sent(NAME))
        problems = checks.problems_of(_losses(place, events))
    if bench.profiling is not None:
        return Outcome(drained.figures, drained.usage, problems)
    losses = killed(bench, events // 4)
    if losses.lost or losses.wrong:
        problems.append(f"killed, it lost {losses.lost} events and left {losses.wrong} people with a wrong state")
    told = {"killed_lost": losses.lost, "killed_repeated": losses.repeated}
    return Outcome({**drained.figures, **told}, drained.usage, problems)


def killed(bench: Bench, events: int) -> Losses:
    """What is lost or repeated when the service is killed once half-way and started again."""
    with ground(bench.servers, bench.folder) as place, Progress(place) as progress:
        _prepare(bench, place, events)
        bench.screen.begin("draining, with a kill -9 in the middle", events)
        first = services.start(place, NAME, MODULE)
        try:
            services.until([first], lambda: bench.screen.at(progress.applied(NAME)), lambda count: count >= events // 2)
        finally:
            first.kill()
        with services.running(place, {NAME: MODULE}) as found:
            running = list(found.values())
            services.until(running, lambda: bench.screen.at(progress.passed(NAME)), lambda count: count >= events)
            all_sent(NAME)(progress, running)
        return _losses(place, events)


def warm_up(bench: Bench, events: int) -> None:
    """A small run for servers that have just been started; what it tells is thrown away."""
    with ground(bench.servers, bench.folder) as place:
        _prepare(bench, place, events)
        drain(bench, place, {NAME: MODULE}, events, all_sent(NAME))


def _prepare(bench: Bench, place: Ground, events: int) -> None:
    migrate(place.settings.postgres_dsn, [NAME])
    with psycopg.connect(place.settings.postgres_dsn) as connection:
        connection.execute(spine_service.TABLES)
    create_topics(place.settings.kafka_bootstrap, [place.topic(EVENTS), place.topic(RESULTS)])
    bench.screen.begin("filling the topic", events)
    fill(place.settings.kafka_bootstrap, place.topic(EVENTS), counted(events), bench.screen.advance)


def _losses(place: Ground, events: int) -> Losses:
    records = read_all(place.settings.kafka_bootstrap, place.topic(RESULTS))
    results = [_results.decode(record.value) for record in records]
    return checks.of_spine(results, events // EVENTS_PER_PERSON, EVENTS_PER_PERSON)


ARM = Arm(
    "spine",
    "bare spine",
    (
        Figure("events_per_s", "events/s", aim=20_000),
        *cpu_figures("event", NAME),
        *transaction_figures(),
        Figure("killed_lost", "killed once: events lost", aim=0, less_is_better=True),
        Figure("killed_repeated", "killed once: results repeated"),
    ),
    run,
)
