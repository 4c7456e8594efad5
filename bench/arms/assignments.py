"""From events to assignments: scoring and routing side by side, as in a running funnel."""

from __future__ import annotations

import msgspec

from bench import checks, services
from bench.arms import scoring
from bench.arms.drain import all_sent, cpu_figures, drain
from bench.figures import Figure
from bench.ground import Ground, ground
from bench.records import count, read_all
from bench.run import Arm, Bench, Outcome
from bench.services import Progress, Service
from bench.team import write_rules
from funnel.contracts import LeadAssignment

MODULES = {"scoring": "services.scoring", "routing": "services.routing"}
ASSIGNMENTS = "lead-assignments"

_assignments = msgspec.json.Decoder(LeadAssignment)


def run(bench: Bench) -> Outcome:
    """Drain through both."""
    with ground(bench.servers, bench.folder) as place:
        fed = scoring.prepare(bench, place, bench.sizes.assignment_events, *MODULES)
        write_rules(place.home)
        drained = drain(bench, place, MODULES, len(fed.records), lambda *running: _finish(place, *running))
        scores = scoring.scores(place)
        given = assignments(place)
        problems = scoring.problems(place, fed, scores) + checks.of_assignments(given, checks.qualified(scores))
    figures = {**drained.figures, "leads_per_s": len(given) / drained.usage.seconds, "leads": float(len(given))}
    return Outcome(figures, drained.usage, problems)


def assignments(place: Ground) -> list[LeadAssignment]:
    """What routing has published, each lead's records in order."""
    found = read_all(place.settings.kafka_bootstrap, place.topic(ASSIGNMENTS))
    return [_assignments.decode(one.value) for one in found]


def _finish(place: Ground, progress: Progress, running: list[Service]) -> None:
    all_sent("scoring")(progress, running)
    expected = count(place.settings.kafka_bootstrap, place.topic(scoring.SCORES))
    services.until(running, lambda: progress.passed("routing"), lambda passed: passed >= expected)
    all_sent("routing")(progress, running)


ARM = Arm(
    "assignments",
    "events to assignments",
    (
        Figure("leads_per_s", "leads/s into assignments"),
        Figure("events_per_s", "events/s"),
        *cpu_figures("event", *MODULES),
    ),
    run,
)
