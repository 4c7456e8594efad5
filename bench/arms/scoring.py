"""The real scoring service, fed with the journeys of people."""

from __future__ import annotations

from functools import lru_cache

import msgspec
import psycopg

from bench import checks
from bench.arms.drain import all_sent, cpu_figures, drain, transaction_figures
from bench.events import Traffic, traffic
from bench.figures import Figure
from bench.ground import Ground, ground
from bench.records import fill, read_all
from bench.run import Arm, Bench, Outcome
from funnel.contracts import LeadScore
from funnel.postgres.migrate import migrate

NAME, MODULE = "scoring", "services.scoring"
EVENTS, SCORES = "lead-events", "lead-scores"

_scores = msgspec.json.Decoder(LeadScore)
_traffic = lru_cache(maxsize=4)(traffic)  # the same in every round


def run(bench: Bench) -> Outcome:
    """Drain."""
    with ground(bench.servers, bench.folder) as place:
        fed = prepare(bench, place, bench.sizes.scoring_events, NAME)
        drained = drain(bench, place, {NAME: MODULE}, len(fed.records), all_sent(NAME))
        return Outcome(drained.figures, drained.usage, problems(place, fed, scores(place)))


def prepare(bench: Bench, place: Ground, events: int, *schemas: str) -> Traffic:
    """Tables, topics, and the events in `lead-events`."""
    bench.screen.say("making up journeys")
    fed = _traffic(events, bench.now)
    migrate(place.settings.postgres_dsn, schemas)
    place.create_topics()
    bench.screen.begin("filling the topic", len(fed.records))
    fill(place.settings.kafka_bootstrap, place.topic(EVENTS), fed.records, bench.screen.advance)
    return fed


def scores(place: Ground) -> list[LeadScore]:
    """What scoring has published, each lead's records in order."""
    return [_scores.decode(one.value) for one in read_all(place.settings.kafka_bootstrap, place.topic(SCORES))]


def problems(place: Ground, fed: Traffic, published: list[LeadScore]) -> list[str]:
    """What is wrong with the tables and the output of scoring."""
    with psycopg.connect(place.settings.postgres_dsn) as connection:
        touches = [(str(s), str(e)) for s, e in connection.execute("SELECT source, event_id FROM scoring.touch")]
    return [
        *checks.of_touches(touches, fed.event_ids),
        *checks.of_scores(published, len(fed.people), fed.emails),
    ]


ARM = Arm(
    NAME,
    "real scoring",
    (Figure("events_per_s", "events/s", aim=10_000), *cpu_figures("event", NAME), *transaction_figures()),
    run,
)
