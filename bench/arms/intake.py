"""Taking events in over HTTP: our ingest, and the same job as a FastAPI service would do it, with the same posts.

What counts is events per second of CPU time of the service's process, the check of a key with each request included.
Everything is measured twice within a run, the second time in the opposite order.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from bench import services
from bench.arms.scoring import EVENTS
from bench.figures import Figure
from bench.ground import Ground, ground
from bench.machine import TICK_SECONDS, Meter
from bench.plan import in_turns
from bench.posting import Door, Posting, Way
from bench.records import create_topics
from bench.run import Arm, Bench, Outcome
from bench.servers import BROKER
from funnel.postgres.migrate import migrate

OURS, PEER = "ingest", "peer"
MODULE, PEER_MODULE = "services.ingest", "bench.intake_peer"
PEER_EVENTS = "peer-events"
SOURCE = "bench"
NO_LIMIT = 1_000_000
"""Events per second that the source may send: more than can be sent here."""

BATCH = 200
TURNS = 2
WARM_UP_EVENTS = 2000

WAYS = {
    "single_ours": Way("single posts, ingest", OURS, "/v1/events", 1, 32, EVENTS),
    "single_peer": Way("single posts, FastAPI", PEER, "/v1/events", 1, 32, PEER_EVENTS),
    "batch_ours": Way("batches of 200, ingest", OURS, "/v1/events/batch", BATCH, 4, EVENTS),
    "batch_in_turn": Way("batches of 200, FastAPI one by one", PEER, "/v1/events/batch", BATCH, 4, PEER_EVENTS),
    "batch_gathered": Way("batches of 200, FastAPI gathered", PEER, "/v1/events/batch/gathered", BATCH, 4, PEER_EVENTS),
}


@dataclass(slots=True)
class Tally:
    """What came in by one way, and what it cost."""

    events: int = 0
    cpu: float = 0.0
    broker: float = 0.0
    seconds: float = 0.0


def run(bench: Bench) -> Outcome:
    """Every way in turn, twice; then what is on the topics."""
    if bench.profiling is not None:
        return _profiled(bench)
    tallies = {name: Tally() for name in WAYS}
    with ground(bench.servers, bench.folder) as place:
        posting = _prepare(bench, place)
        with _ours(bench, place, OURS) as ours, _peer(place) as peer:
            doors = {OURS: ours, PEER: peer}
            for index, way in enumerate(WAYS.values()):
                posting.post(way, doors[way.service], WARM_UP_EVENTS // way.batch, f"{index}0")
            meter = Meter({name: door.service.process for name, door in doors.items()})
            for turn, name in in_turns(list(WAYS), TURNS):
                _measure(posting, name, turn, doors[WAYS[name].service], tallies[name])
            usage = meter.usage()
        return Outcome(figures(tallies), usage, posting.problems + posting.stored_wrongly())


def _profiled(bench: Bench) -> Outcome:
    """Ours alone, in a process for single posts and in one for batches; each writes its profile."""
    with ground(bench.servers, bench.folder) as place:
        posting, meter = _prepare(bench, place), Meter({})
        for name in ("single_ours", "batch_ours"):
            with _ours(bench, place, name.removesuffix("_ours")) as door:
                _measure(posting, name, 1, door, Tally())
        return Outcome({}, meter.usage(), posting.problems + posting.stored_wrongly())


def _measure(posting: Posting, name: str, turn: int, door: Door, tally: Tally) -> None:
    way, sizes = WAYS[name], posting.bench.sizes
    requests = sizes.intake_posts if way.batch == 1 else sizes.intake_batches
    posted, usage = posting.post(way, door, requests, f"{list(WAYS).index(name)}{turn}")
    tally.events += requests * way.batch
    tally.cpu += usage.cpu[way.service]
    tally.broker += usage.cpu.get(BROKER, 0.0)
    tally.seconds += posted.seconds


def _prepare(bench: Bench, place: Ground) -> Posting:
    migrate(place.settings.postgres_dsn, [OURS])
    place.create_topics()
    create_topics(place.settings.kafka_bootstrap, [place.topic(PEER_EVENTS)])
    place.settle()
    return Posting(bench, place)


@contextmanager
def _ours(bench: Bench, place: Ground, name: str) -> Iterator[Door]:
    """Our ingest, which asks for a key, and the secret key of a source."""
    settings, token = place.settings, secrets.token_urlsafe()
    environment = {"FUNNEL_REQUIRE_KEYS": "true", "FUNNEL_ADMIN_TOKEN": token}
    with services.running(place, {name: MODULE}, bench.profiling, environment) as found:
        services.until_ready([found[name]], [settings.url_of(OURS)])
        source = f"{SOURCE}-{name}"
        key = _add_source(settings.url_of(OURS), token, source)
        yield Door(found[name], settings.host, settings.ingest_port, key, source)


def _add_source(url: str, token: str, name: str) -> str:
    """Its secret key."""
    body = json.dumps({"name": name, "events_per_second": NO_LIMIT}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/sources", body, headers)) as answer:
        return str(json.load(answer)["secret_key"])


@contextmanager
def _peer(place: Ground) -> Iterator[Door]:
    """The FastAPI service, and a key as long as ours; it answers on the port of scoring, which does not run here."""
    settings, key = place.settings, f"fsk_{secrets.token_urlsafe(32)}"
    environment = {
        "PEER_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "PEER_TOPIC": place.topic(PEER_EVENTS),
        "PEER_HOST": settings.host,
        "PEER_PORT": str(settings.scoring_port),
        "PEER_KEYS": json.dumps({SOURCE: hashlib.sha256(key.encode()).hexdigest()}),
    }
    with services.running(place, {PEER: PEER_MODULE}, environment=environment) as found:
        services.until_ready([found[PEER]], [settings.url_of("scoring")])
        yield Door(found[PEER], settings.host, settings.scoring_port, key, SOURCE)


def figures(tallies: Mapping[str, Tally]) -> dict[str, float]:
    figures = {}
    for name, tally in tallies.items():
        figures[f"{name}_per_cpu_s"] = tally.events / max(tally.cpu, TICK_SECONDS)  # so little: a test of the bench
        figures[f"{name}_per_s"] = tally.events / tally.seconds
        figures[f"{name}_cpu_us_{BROKER}"] = tally.broker / tally.events * 1e6
    for name, way in WAYS.items():
        if way.service == PEER:
            ours = figures[f"{name.partition('_')[0]}_ours_per_cpu_s"]
            figures[f"ratio_{name}"] = ours / figures[f"{name}_per_cpu_s"]
    figures["ratio_batch_single"] = figures["batch_ours_per_cpu_s"] / figures["single_peer_per_cpu_s"]
    return figures


ARM = Arm(
    "intake",
    "ingest beside FastAPI, per CPU second of the process",
    (
        Figure("ratio_single_peer", "single posts: times FastAPI's events", digits=1, aim=4),
        Figure("ratio_batch_in_turn", "batches of 200: times FastAPI's, which sends one by one", digits=1, aim=20),
        Figure("ratio_batch_gathered", "batches of 200: times FastAPI's, which gathers its sends", digits=1),
        Figure("ratio_batch_single", "batches of 200: times FastAPI's events in single posts", digits=1),
        *[Figure(f"{name}_per_cpu_s", f"{way.text}: events per CPU second") for name, way in WAYS.items()],
        *[Figure(f"{name}_per_s", f"{way.text}: events/s") for name, way in WAYS.items()],
    ),
    run,
)
