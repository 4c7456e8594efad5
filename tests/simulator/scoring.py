"""Scoring in the simulator: who is who and what they are worth, whatever the order in which it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

import msgspec

from funnel.contracts import LeadScore
from funnel.postgres import Row
from services.scoring.domain.lead import Evidence
from services.scoring.domain.touch import Details
from services.scoring.handlers import ScoringHandler
from tests.simulator.outputs import first_occurrences
from tests.simulator.plays import PARTITIONS, Sent, balance, schedule, send
from tests.simulator.world import Service, World
from tests.support.scoring import default_scorer, event

SCORER = default_scorer()
KINDS = ("page.viewed", "form.submitted", "document.requested", "demo.requested", "webinar.attended")

_records = msgspec.json.Decoder(LeadScore)
_evidence = msgspec.json.Decoder(Evidence)
_details = msgspec.json.Decoder(Details)


def events(random: Random, count: int) -> list[Sent]:
    """Events of a few people who share a phone and browsers, some of whom are known by a cookie only."""
    found: list[Sent] = []
    for number in range(count):
        person, known = random.randrange(5), random.random()
        told = event(
            random.choice(KINDS),
            email=f"p{person}@example.com" if known < 0.7 else None,
            phone=f"+8131234567{person // 2}" if random.random() < 0.3 else None,
            visitor=f"v{person}" if known >= 0.7 or random.random() < 0.4 else None,
            external={"crm": str(person)} if random.random() < 0.2 else None,
            minute=random.randrange(600),
            event_id=f"e{number}",
            mode="live" if random.random() < 0.9 else "history",
        )
        found.append(Sent("test", told.event_id, msgspec.json.encode(told), told.type, "lead_event.v2"))
    return found


class ScoringPlay:
    """Scoring alone."""

    def __init__(self, lanes: int = 1) -> None:
        self.inputs: Mapping[str, Sequence[str]] = {"scoring": ("lead-events",)}
        self.services = {"scoring": Service(lambda: ScoringHandler(SCORER), lanes)}

    def prepare(self, world: World, seconds: float) -> None:
        world.log.create("lead-events", PARTITIONS)
        world.log.create("lead-scores", 2)
        schedule(world, "lead-events", events(world.random, world.random.randint(5, 25)), seconds)
        nobody = event(event_id="nobody")
        sent = Sent("test", nobody.event_id, msgspec.json.encode(nobody), nobody.type, "lead_event.v2")
        world.later(world.random.random() * seconds, lambda: send(world, "lead-events", sent))

    def settled(self, world: World) -> bool:
        return True

    def judge(self, world: World) -> None:
        judge_scoring(world)


def judge_scoring(world: World) -> None:
    """Every event is one touch; no identifier has two leads; the topic says what the table says."""
    books = balance(world, "scoring", ["lead-events"], lambda record: _is_about_nobody(record.value or b""))
    touches = world.server.table("scoring", "touch").values()
    counted = Counter((row["source"], row["event_id"]) for row in touches)
    if counted != Counter(books.applied.keys()):
        world.violate(f"touches are not one for each event: {counted - Counter(books.applied.keys())}")
    leads = {row["lead_id"]: row for row in world.server.table("scoring", "lead").values()}
    _judge_owners(world, {lead_id: _records.decode(row["record"]) for lead_id, row in leads.items()})
    for lead_id, row in leads.items():
        evidence = _evidence.decode(row["evidence"])
        counts: Counter[str] = Counter()
        for touch in touches:
            if touch["subject"] in (lead_id, *evidence.subjects):
                context = _details.decode(touch["details"]).context
                counts.update(SCORER.matches(touch["type"], context.page_url if context else None))
        if dict(counts) != evidence.counts:
            world.violate(f"{lead_id} counts {evidence.counts}, its touches make {dict(counts)}")
    _compare_topic(world, leads)


def _judge_owners(world: World, leads: Mapping[str, LeadScore]) -> None:
    """No identifier has two leads, and each lead's are what the table of identifiers says."""
    owned: dict[tuple[str, str], str] = {}
    for lead_id, record in leads.items():
        for identifier in record.identifiers:
            if owned.setdefault((identifier.kind, identifier.value), lead_id) != lead_id:
                world.violate(f"{identifier} belongs to {lead_id} and {owned[identifier.kind, identifier.value]}")
    claimed = {
        (row["kind"], row["value"]): row["lead_id"]
        for row in world.server.table("scoring", "identifier").values()
        if row["lead_id"] is not None
    }
    if owned != claimed:
        world.violate(f"identifiers and leads differ: {owned.items() ^ claimed.items()}")


def _compare_topic(world: World, leads: Mapping[str, Row]) -> None:
    """Every version of every lead was published, the last as it is in the table."""
    published = first_occurrences(world, "lead-scores")
    if published.keys() != leads.keys():
        world.disagree(f"published are the leads {published.keys()}, there are {leads.keys()}")
    for lead_id, row in leads.items():
        told = published.get(lead_id, [])
        versions = [_records.decode(one.value or b"").version for one in told]
        if versions != list(range(1, row["version"] + 1)):
            world.disagree(f"{lead_id} is in version {row['version']}, published were {versions}")
        elif told[-1].value != row["record"].encode():
            world.disagree(f"{lead_id} was last published otherwise than it is in its table")


def _is_about_nobody(value: bytes) -> bool:
    return not any(msgspec.json.decode(value)["identity"].values())
