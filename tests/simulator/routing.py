"""Routing in the simulator, alone and behind scoring: one rep for each lead, whatever happens between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

import msgspec

from funnel.clock import Clock
from funnel.contracts import Identity, LeadOutcome
from funnel.errors import Conflict, DatabaseAway
from funnel.postgres import Database
from funnel.telemetry import Totals
from services.routing import store
from services.routing.domain.lead_state import REASON_REQUIRED, Report
from services.routing.domain.rules import parse_rules
from services.routing.handlers import RoutingHandler
from services.routing.releaser import HeldReleaser
from services.scoring.handlers import ScoringHandler
from tests.simulator.database import FakeDatabase
from tests.simulator.kafka import Stored
from tests.simulator.outputs import first_occurrences
from tests.simulator.plays import PARTITIONS, Sent, balance, schedule, send
from tests.simulator.scoring import SCORER, events, judge_scoring
from tests.simulator.world import Service, Worker, World
from tests.support.scoring import Memory, at_minute, event

RULES = parse_rules(
    """
pools:
  sales: {members: [{rep: a, weight: 3}, {rep: b}]}
  big: {members: [{rep: b}, {rep: c}]}
reps:
  - {id: a, name: Ann, capacity: 2}
  - {id: b, name: Ben, capacity: 1}
  - {id: c, name: Cho, capacity: 1}
rules:
  - {rule: hot, pool: big, when: [{field: score, at_least: 80}]}
  - {rule: everyone, pool: sales}
""",
    "rules of the simulator",
)


def _releaser(
    database: Database, handler: RoutingHandler, clock: Clock, wake_relay: Callable[[], None]
) -> Sequence[Worker]:
    return [HeldReleaser(database, handler, clock, wake_relay, Totals(), lambda: False)]


async def _declare(database: Database) -> None:
    async with database.transaction() as tx:
        await store.declare(tx, RULES)


ROUTING = Service(lambda: RoutingHandler(RULES), extra=_releaser, begin=_declare)
READS = ("lead-scores", "lead-outcomes")


def outcomes(random: Random, count: int, lead_ids: Sequence[str]) -> list[Sent]:
    """Reports about leads, named by id or by e-mail address, some of them of an older epoch or about nobody known."""
    found: list[Sent] = []
    for number in range(count):
        report = random.choice(list(Report))
        named: dict[str, Any] = {"identity": Identity(email=f"p{random.randrange(6)}@example.com")}
        if lead_ids and random.random() < 0.5:
            named = {"lead_id": random.choice(lead_ids)}
        told = LeadOutcome(
            type=report.value,
            event_id=f"o{number}",
            source="crm",
            occurred_at=at_minute(random.randrange(2000)),
            epoch=random.choice([None, None, 1, 2]),
            rep_id=random.choice([None, "a", "b"]),
            deal_id=random.choice([None, "d"]),
            reason="because" if report in REASON_REQUIRED else None,
            mode="live" if random.random() < 0.9 else "history",
            **named,
        )
        found.append(Sent("crm", f"o{number}", msgspec.json.encode(told), told.type, "lead_outcome.v1"))
    return found


class RoutingPlay:
    """Routing alone: what scoring would have published is sent by the client."""

    def __init__(self) -> None:
        self.services = {"routing": ROUTING}
        self.inputs: Mapping[str, Sequence[str]] = {"routing": READS}

    def prepare(self, world: World, seconds: float) -> None:
        random = world.random
        world.log.create("lead-scores", PARTITIONS)
        _prepare_routing(world, seconds)
        memory = Memory(SCORER)
        for number in range(random.randint(5, 20)):
            person = random.randrange(5)
            kind = random.choice(("form.submitted", "demo.requested", "page.viewed"))
            memory.apply([event(kind, email=f"p{person}@example.com", event_id=f"e{number}", minute=number)])
        for index, record in enumerate(memory.published):  # later versions later, and now and then not
            sent = Sent(
                "scoring",
                f"{record.lead_id}:{record.version}",
                msgspec.json.encode(record),
                "lead.scored",
                "lead_score.v2",
                record.lead_id.encode(),
            )
            for late in (0.0, 1.0) if random.random() < 0.2 else (0.0,):
                at = seconds * (index // 4 * 4 + random.random() * 0.01) / len(memory.published) + late
                world.later(at, partial(send, world, "lead-scores", sent))
        reports = outcomes(random, random.randint(0, 15), sorted(memory.leads))
        schedule(world, "lead-outcomes", reports, seconds)

    def settled(self, world: World) -> bool:
        return _nobody_waits_in_vain(world)

    def judge(self, world: World) -> None:
        judge_routing(world)


class PipelinePlay:
    """Events through scoring and routing to the reps, and outcomes back."""

    def __init__(self) -> None:
        self.services = {"scoring": Service(lambda: ScoringHandler(SCORER), lanes=2), "routing": ROUTING}
        self.inputs: Mapping[str, Sequence[str]] = {"scoring": ("lead-events",), "routing": READS}

    def prepare(self, world: World, seconds: float) -> None:
        world.log.create("lead-events", PARTITIONS)
        world.log.create("lead-scores", 2)
        world.outputs.add("lead-scores")
        _prepare_routing(world, seconds)
        schedule(world, "lead-events", events(world.random, world.random.randint(5, 15)), seconds)
        schedule(world, "lead-outcomes", outcomes(world.random, world.random.randint(0, 8), []), seconds)

    def settled(self, world: World) -> bool:
        return _nobody_waits_in_vain(world)

    def judge(self, world: World) -> None:
        judge_scoring(world)
        judge_routing(world)


def _prepare_routing(world: World, seconds: float) -> None:
    """Topics, pools and reps, and people who change reps while all goes on."""
    world.log.create("lead-outcomes", 2)
    for topic in ("lead-assignments", "lead-decisions"):
        world.log.create(topic, 2)
    database = FakeDatabase(world.server, world.outside, "routing")
    world.outside.run_until_complete(_declare(database))
    for _ in range(world.random.randint(0, 4)):
        rep, capacity = world.random.choice("abc"), world.random.choice([None, 0, 1, 2, 5])
        active = world.random.choice([None, True, False])
        world.later(
            world.random.random() * seconds,
            partial(_change, world, database, rep, capacity=capacity, active=active),
        )


def _change(world: World, database: Database, rep: str, *, capacity: int | None, active: bool | None) -> None:
    async def change() -> None:
        try:
            async with database.transaction() as tx:
                await store.change_rep(tx, rep, name=None, email=None, capacity=capacity, active=active)
        except (DatabaseAway, Conflict):
            return

    world.trace.add("manager", "changes", (rep, capacity, active))
    world.outside.create_task(change())


def _nobody_waits_in_vain(world: World) -> bool:
    """Whether no lead is held that somebody could take."""
    reps = world.server.table("routing", "rep")
    members = list(world.server.table("routing", "pool_member").values())
    return not any(
        reps[member["rep"]]["active"] and reps[member["rep"]]["open"] < reps[member["rep"]]["capacity"]
        for lead in world.server.table("routing", "lead").values()
        if lead["state"] == "held"
        for member in members
        if member["pool"] == lead["pool"] and member["rep"] not in lead["excluded"]
    )


def judge_routing(world: World) -> None:
    """One active assignment at most, epochs and numbers without gaps, loads that add up, topics equal to tables."""
    balance(world, "routing", ["lead-scores", "lead-outcomes"])
    tables = {name: list(world.server.table("routing", name).values()) for name in ("lead", "rep", "assignment")}
    epochs: dict[str, list[int]] = {}
    active: dict[str, str] = {}
    for row in sorted(tables["assignment"], key=lambda row: (row["lead_id"], row["epoch"])):
        epochs.setdefault(row["lead_id"], []).append(row["epoch"])
        if row["status"] == "active":
            if row["lead_id"] in active:
                world.violate(f"{row['lead_id']} has two active assignments")
            active[row["lead_id"]] = row["rep"]
    for lead in tables["lead"]:
        if epochs.get(lead["lead_id"], []) != list(range(1, lead["epoch"] + 1)):
            world.violate(f"{lead['lead_id']} is in epoch {lead['epoch']}, it had {epochs.get(lead['lead_id'])}")
        if (lead["state"] == "assigned") != (lead["rep"] is not None) or lead["rep"] != active.get(lead["lead_id"]):
            world.violate(f"{lead['lead_id']} is {lead['state']} with {lead['rep']}, {active.get(lead['lead_id'])}")
        if (lead["state"] == "held") != (lead["held_reason"] is not None):
            world.violate(f"{lead['lead_id']} is {lead['state']}, and held for the reason {lead['held_reason']}")
    loads = Counter(active.values())
    for rep in tables["rep"]:
        if rep["open"] != loads[rep["id"]]:
            world.violate(f"{rep['id']} has {loads[rep['id']]} leads, the table says {rep['open']}")
    _judge_numbers(world)
    _judge_topics(world)


def _judge_numbers(world: World) -> None:
    numbers: dict[str, list[int]] = {}
    for row in world.server.table("routing", "decision").values():
        if row["number"] is not None:
            numbers.setdefault(row["pool"], []).append(row["number"])
    for pool in world.server.table("routing", "pool").values():
        if sorted(numbers.get(pool["name"], [])) != list(range(1, pool["decisions"] + 1)):
            world.violate(f"the decisions of {pool['name']} are numbered {sorted(numbers.get(pool['name'], []))}")


def _judge_topics(world: World) -> None:
    assignments = first_occurrences(world, "lead-assignments")
    decisions = first_occurrences(world, "lead-decisions")
    _compare_versions(world, [assignments, decisions])
    _compare_assignments(world, assignments)
    ids = {msgspec.json.decode(one.value or b"")["decision_id"] for some in decisions.values() for one in some}
    table = world.server.table("routing", "decision").values()
    if ids != (kept := {row["decision_id"] for row in table if row["kind"] != "assigned"}):
        world.disagree(f"lead-decisions and the table differ in {ids ^ kept}")


def _compare_versions(world: World, topics: Sequence[Mapping[str, Sequence[Stored]]]) -> None:
    """A lead's versions rise in each topic, and together none is missing."""
    versions: dict[str, list[int]] = {}
    for topic in topics:
        for lead_id, records in topic.items():
            found = [one["version"] for one in _values(records) if one.get("version")]
            if found != sorted(found):
                world.disagree(f"{records[0].topic} tells of {lead_id} out of order: {found}")
            versions.setdefault(lead_id, []).extend(found)
    for lead in world.server.table("routing", "lead").values():
        if sorted(versions.get(lead["lead_id"], [])) != list(range(1, lead["version"] + 1)):
            world.disagree(f"{lead['lead_id']} is in version {lead['version']}, told: {versions.get(lead['lead_id'])}")


def _compare_assignments(world: World, topic: Mapping[str, Sequence[Stored]]) -> None:
    """The topic tells of each assignment as it went, in order, and of no other."""
    told = {lead_id: [(one["epoch"], one["status"]) for one in _values(records)] for lead_id, records in topic.items()}
    happened: dict[str, list[tuple[int, str]]] = {}
    for row in sorted(world.server.table("routing", "assignment").values(), key=lambda row: row["epoch"]):
        happened.setdefault(row["lead_id"], []).append((row["epoch"], "assigned"))
        if row["status"] != "active":
            happened[row["lead_id"]].append((row["epoch"], row["status"]))
    if told != happened:
        world.disagree(f"lead-assignments tells {told}, the table {happened}")


def _values(records: Sequence[Stored]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(one.value or b"") for one in records]
