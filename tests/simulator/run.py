"""One run: a seed decides the play, the replicas, the faults and every delay; the judgement comes at the end."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from funnel.postgres import Row
from tests.simulator import nemesis
from tests.simulator.database import Change, Session
from tests.simulator.plays import Play, ToyPlay
from tests.simulator.routing import PipelinePlay, RoutingPlay
from tests.simulator.scoring import ScoringPlay
from tests.simulator.trace import Trace
from tests.simulator.world import World, simulated

TORMENT_SECONDS = 7.0
SETTLE_SECONDS = 120.0
_LOOK_SECONDS = 0.5

PLAYS: dict[str, Callable[[World], Play]] = {
    "toy": lambda world: ToyPlay(world.random.randint(1, 2)),
    "scoring": lambda world: ScoringPlay(world.random.randint(1, 2)),
    "routing": lambda _: RoutingPlay(),
    "pipeline": lambda _: PipelinePlay(),
}


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    seed: int
    play: str
    violations: Sequence[str]
    trace: Trace
    virtual_seconds: float
    disagreements: Sequence[str] = ()
    """Where topics and tables differ after a lost tail."""

    def report(self) -> str:
        """The violations, how to see them again, and the steps that led there."""
        again = f"python -m tests.simulator --play {self.play} --seeds 1 --from {self.seed}"
        return "\n".join([f"seed {self.seed} of {self.play}: {again}", *self.violations, self.trace.tail()])


def first_violation(play: str, seeds: Iterable[int]) -> Outcome | None:
    """The first run in which something promised did not hold, or None."""
    return next((outcome for seed in seeds if (outcome := simulate(seed, play)).violations), None)


def simulate(seed: int, play_name: str, *, lost_tail: bool = False) -> Outcome:
    """Run one seed of a play. `lost_tail`: the database fails over on the way, and loses its last transactions."""
    world = World(seed)
    play = PLAYS[play_name](world)
    with simulated(world):
        try:
            _play(world, play, lost_tail)
        except Exception:  # noqa: BLE001 - whatever it is, the seed and the steps before are what helps
            world.violate(traceback.format_exc())
        return Outcome(
            seed, play_name, tuple(world.violations), world.trace, world.timeline.now, tuple(world.disagreements)
        )


def _play(world: World, play: Play, lost_tail: bool) -> None:
    world.services, world.inputs = play.services, play.inputs
    world.server.watchers.append(lambda session, changes: _watch(world, session, changes))
    seconds = 1.0 + world.random.random() * (TORMENT_SECONDS - 1.0)
    play.prepare(world, seconds)
    for service in play.services:
        for _ in range(world.random.randint(1, 2)):
            world.later(world.random.random(), partial(world.start, service))
    nemesis.torment(world, seconds)
    if lost_tail:
        world.later(world.random.random() * seconds, lambda: nemesis.fail_over(world))
    world.run_for(seconds)
    nemesis.heal(world)
    deadline = world.timeline.now + SETTLE_SECONDS
    while not _settled(world, play):
        if world.timeline.now >= deadline:
            world.violate(f"not settled {SETTLE_SECONDS:g} s after everything was healed: {_unsettled(world)}")
            return
        if world.violations:
            return
        world.run_for(_LOOK_SECONDS)
    play.judge(world)


def _settled(world: World, play: Play) -> bool:
    return not _unsettled(world) and play.settled(world)


def _unsettled(world: World) -> list[str]:
    """What is left to do, by service."""
    found: list[str] = []
    for service, topics in world.inputs.items():
        position = world.server.table(service, "position")
        for topic in topics:
            for number, log in enumerate(world.log.topics[topic]):
                row = position.get((topic, number))
                if row is None or row["next"] != log.end:
                    found.append(f"{service} {topic}/{number} is at {row and row['next']} of {log.end}")
        if count := len(world.server.table(service, "outbox")):
            found.append(f"{service} has {count} records in its outbox")
        found += [f"{one.name}: {one.problems()}" for one in world.living(service) if found and one.problems()]
    return found


def _watch(world: World, session: Session, changes: Sequence[Change]) -> None:
    """What must hold at every commit."""
    for table, key, before, after in changes:
        if table == "position" and before is not None and after is not None:
            _watch_position(world, session, key, before, after)
        elif table == "rep" and before is not None and after is not None:
            if before["open"] < after["open"] > after["capacity"]:
                world.violate(f"{key} has {after['open']} leads and can have {after['capacity']}")
        elif table == "assignment" and after is not None and after["status"] == "active":
            rows = world.server.table("routing", "assignment").values()
            if sum(row["status"] == "active" and row["lead_id"] == after["lead_id"] for row in rows) > 1:
                world.violate(f"{after['lead_id']} has two active assignments")


def _watch_position(world: World, session: Session, key: object, before: Row, after: Row) -> None:
    if after["epoch"] < before["epoch"] or (before["next"] is not None and after["next"] < before["next"]):
        world.violate(f"{session.schema} {key} went backwards: {dict(before)} to {dict(after)}")
    if before["next"] is None or after["next"] == before["next"]:
        return
    if before["owner"] != session.process.name and session.process is not world.outside:
        world.violate(f"{session.schema} {key} was moved by {session.process.name}, its owner is {before['owner']}")
