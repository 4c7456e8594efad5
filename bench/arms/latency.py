"""From the post of a form to the record on `lead-assignments`, at a fixed rate; beside one plain hop over Kafka."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from bench import services
from bench.arms.assignments import ASSIGNMENTS
from bench.arms.drain import cpu_figures, cpu_per, parties
from bench.arms.scoring import EVENTS, SCORES
from bench.events import forms
from bench.figures import Figure, percentile, percentiles
from bench.ground import Ground, ground
from bench.hearing import Heard, hear
from bench.machine import Meter
from bench.records import create_topics, read_all
from bench.run import Arm, Bench, Outcome
from bench.team import write_rules
from funnel.contracts import LeadAssignment, LeadEvent, LeadScore
from funnel.ids import lead_id
from funnel.postgres.migrate import migrate

MODULES = {"ingest": "services.ingest", "scoring": "services.scoring", "routing": "services.routing"}
HOP = "hop"

_STEPS = {
    "ingest": "post to ingest's receipt",
    "scoring": "receipt to scoring's decision",
    "routing": "scoring's decision to routing's",
    "reader": "routing's decision to the reader",
}


def run(bench: Bench) -> Outcome:
    """First the plain hop, then the funnel, at the same rate and with the same reader."""
    sizes = bench.sizes
    warm = int(sizes.posts_per_second * sizes.latency_warm_up_seconds)
    count = warm + int(sizes.posts_per_second * sizes.latency_seconds)
    with ground(bench.servers, bench.folder) as place:
        bodies = place.home / "bodies"
        bodies.write_bytes(b"\n".join(forms(count, bench.now)))
        by_number = {str(number): number for number in range(count)}
        hop = _hop(bench, place, bodies, count)
        migrate(place.settings.postgres_dsn)
        place.create_topics()
        write_rules(place.home)
        place.settle()
        with services.running(place, MODULES, bench.profiling) as found:
            services.until_ready(list(found.values()), [place.settings.url_of(name) for name in MODULES])
            meter = Meter(parties(bench, found))
            heard = _funnel(bench, place, bodies, count)
            usage = meter.usage()
        by_lead = {lead_id("default", f"form-{number}"): number for number in range(count)}
        problems = heard.problems("assignments", by_lead) + hop.problems("records of the plain hop", by_number)
        if problems:
            return Outcome({}, usage, problems)
        figures = {
            **percentiles("ms", heard.latencies(by_lead, warm)),
            **percentiles("hop_ms", hop.latencies(by_number, warm)),
            **percentiles("answer_ms", [(sent.answered - sent.due) * 1000 for sent in heard.sent[warm:]]),
            **_steps(place, heard, by_lead, warm),
            "late_ms_p99": percentile([(sent.left - sent.due) * 1000 for sent in heard.sent[warm:]], 0.99),
            **cpu_per(usage, count),
        }
    return Outcome(figures, usage, [])


def _hop(bench: Bench, place: Ground, values: Path, count: int) -> Heard:
    bootstrap, rate = place.settings.kafka_bootstrap, str(bench.sizes.posts_per_second)
    create_topics(bootstrap, [place.topic(HOP)])
    bench.screen.begin(f"one plain hop, {rate} a second", count)
    return hear(bench.screen, place, HOP, ("bench.kafka_load", bootstrap, place.topic(HOP), rate, str(values)))


def _funnel(bench: Bench, place: Ground, bodies: Path, count: int) -> Heard:
    settings, rate = place.settings, str(bench.sizes.posts_per_second)
    bench.screen.begin(f"forms to assignments, {rate} a second", count)
    load = ("bench.http_load", settings.host, str(settings.ingest_port), rate, str(bodies))
    return hear(bench.screen, place, ASSIGNMENTS, load)


def _steps(place: Ground, heard: Heard, by_lead: Mapping[str, int], warm_up: int) -> dict[str, float]:
    """p50 and p99 of each step of the way, from the times that the services write into their records."""
    clock = time.time() - time.monotonic()
    moments: dict[int, list[float]] = {number: [sent.due + clock] for number, sent in enumerate(heard.sent)}
    bootstrap = place.settings.kafka_bootstrap
    for record in read_all(bootstrap, place.topic(EVENTS)):
        event = msgspec.json.decode(record.value, type=LeadEvent)
        _note(moments, by_lead[lead_id(event.source, event.event_id)], 0, event.received_at)
    for record in read_all(bootstrap, place.topic(SCORES)):
        score = msgspec.json.decode(record.value, type=LeadScore)
        _note(moments, by_lead[score.lead_id], 1, score.at)
    for arrived, record in heard.arrivals:
        assignment = msgspec.json.decode(record.value, type=LeadAssignment)
        _note(moments, by_lead[assignment.lead_id], 2, assignment.at)
        moments[by_lead[assignment.lead_id]].append(arrived + clock)
    figures: dict[str, float] = {}
    for index, step in enumerate(_STEPS):
        took = [(one[index + 1] - one[index]) * 1000 for number, one in moments.items() if number >= warm_up]
        figures |= {f"step_{step}_ms_p50": percentile(took, 0.5), f"step_{step}_ms_p99": percentile(took, 0.99)}
    return figures


def _note(moments: dict[int, list[float]], number: int, after: int, at: datetime) -> None:
    """The moment of one step, once: a lead that is scored again later was decided about at its first score."""
    if len(moments[number]) == after + 1:
        moments[number].append(at.timestamp())


def _in_ms(name: str, text: str, **aim: float) -> list[Figure]:
    shares = {50: {}, 90: {}, 99: aim}
    return [
        Figure(f"{name}_p{share}", f"{text}, ms p{share}", digits=1, aim=goal.get("aim"), less_is_better=True)
        for share, goal in shares.items()
    ]


ARM = Arm(
    "latency",
    "post to assignment, 200 leads/s",
    (
        *_in_ms("ms", "post to assignment", aim=25.0),
        *_in_ms("hop_ms", "one plain hop"),
        *_in_ms("answer_ms", "post to 202"),
        *[
            Figure(f"step_{step}_ms_p{share}", f"{text}, ms p{share}", digits=1)
            for step, text in _STEPS.items()
            for share in (50, 99)
        ],
        Figure("late_ms_p99", "generator behind its schedule, ms p99", digits=1),
        *cpu_figures("lead", *MODULES),
    ),
    run,
)
