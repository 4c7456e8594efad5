"""What goes wrong, and when: drawn from the seed, over by the time given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from funnel.errors import Conflict, DatabaseAway
from tests.simulator.database import FakeDatabase, Rows, Session, Waiting
from tests.simulator.world import Replica, World

Fault = Callable[[World, float], None]
"""Begins at once and is over after the seconds given."""


def torment(world: World, seconds: float) -> None:
    """Plan faults within the next `seconds`."""
    for _ in range(world.random.randint(1, 6)):
        fault = world.random.choice(FAULTS)
        begin = world.random.random() * seconds
        lasts = world.random.random() * (seconds - begin)
        world.later(begin, partial(_begin, world, fault, lasts))


def heal(world: World) -> None:
    """Nothing is wrong any more, and somebody is there to do the work."""
    world.server.faults = type(world.server.faults)()
    world.log.faults = type(world.log.faults)()
    for replica in world.living():
        if replica.process.frozen:
            replica.process.thaw()
    for service in world.services:
        if not world.living(service):
            world.start(service)
    world.trace.add("nemesis", "heal")


def _begin(world: World, fault: Fault, lasts: float) -> None:
    world.trace.add("nemesis", fault.__name__, f"{lasts:.3f} s")
    fault(world, lasts)


def _victim(world: World) -> Replica | None:
    living = world.living()
    return world.random.choice(living) if living else None


# -- processes ---------------------------------------------------------------------------------------------------


def crash(world: World, lasts: float) -> None:
    """kill -9; another process is started later."""
    if replica := _victim(world):
        world.trace.add(replica.name, "killed")
        replica.process.kill()
        world.later(min(lasts, 2.0), lambda: world.start(replica.service))


def power_loss(world: World, lasts: float) -> None:
    """Its machine is gone, and its sessions stay open at the server."""
    if replica := _victim(world):
        world.trace.add(replica.name, "lost")
        replica.process.kill(lost=True)
        world.later(min(lasts, 2.0), lambda: world.start(replica.service))


def freeze(world: World, lasts: float) -> None:
    """It stands still, perhaps for longer than its leases last."""
    replica = _victim(world)
    if replica and not replica.process.frozen:
        world.trace.add(replica.name, "frozen")
        replica.process.freeze()
        world.later(lasts, lambda: _thaw(world, replica))


def _thaw(world: World, replica: Replica) -> None:
    if replica.process.frozen and not replica.process.dead:
        world.trace.add(replica.name, "thawed")
        replica.process.thaw()


def stop(world: World, lasts: float) -> None:
    """A rolling restart."""
    if replica := _victim(world):
        world.trace.add(replica.name, "asked to stop")
        replica.stop()
        world.later(lasts, lambda: world.start(replica.service))


def one_more(world: World, _: float) -> None:
    """Another replica of a service joins."""
    world.start(world.random.choice(sorted(world.services)))


# -- the database ------------------------------------------------------------------------------------------------


def database_crashes(world: World, lasts: float) -> None:
    world.server.crash(lasts)


def fail_over(world: World) -> None:
    """Not among the faults drawn: what follows from it is judged otherwise."""
    lost = world.server.fail_over(world.random.randint(1, 8), world.random.random())
    world.trace.add("nemesis", "fails over", f"{len(lost)} commits lost")


def database_hangs(world: World, lasts: float) -> None:
    world.server.faults.hangs_until = world.timeline.now + lasts


def sessions_cut(world: World, lasts: float) -> None:
    world.server.faults.cut = 0.1
    world.later(lasts, lambda: setattr(world.server.faults, "cut", 0.0))


def slow_statements(world: World, lasts: float) -> None:
    world.server.faults.slow = 0.1
    world.server.faults.slow_seconds = world.random.choice([0.1, 1.0, 4.0])
    world.later(lasts, lambda: setattr(world.server.faults, "slow", 0.0))


def commits_unknown(world: World, lasts: float) -> None:
    world.server.faults.answer_lost = 0.2
    world.server.faults.commit_lost = 0.2
    world.later(lasts, lambda: setattr(world.server.faults, "answer_lost", 0.0))
    world.later(lasts, lambda: setattr(world.server.faults, "commit_lost", 0.0))


def rows_locked(world: World, lasts: float) -> None:
    """Somebody else holds rows for a while, taken in no order that we know."""
    service = world.random.choice(sorted(world.services))
    places = [
        (table, key)
        for table in ("person", "lead", "identifier", "pool", "rep", "position")
        for key in sorted(world.server.table(service, table), key=str)
    ]
    chosen = world.random.sample(places, min(2, len(places)))
    database = FakeDatabase(world.server, world.outside, service)
    world.outside.create_task(_hold(world, database, chosen, min(lasts, 2.5)))


async def _hold(world: World, database: FakeDatabase, rows: list[tuple[str, object]], seconds: float) -> None:
    def lock(_: Session, table: str, key: object) -> Waiting:
        yield table, key
        nothing: Rows = []
        return nothing

    session = world.server.open(world.outside, database.schema, durable=True)
    try:
        for table, key in rows:
            await session.perform(lock, (table, key))
            await asyncio.sleep(seconds / 2)
    except (DatabaseAway, Conflict):
        pass
    session.end()


# -- Kafka -------------------------------------------------------------------------------------------------------


def kafka_away(world: World, lasts: float) -> None:
    world.log.faults.away_until = world.timeline.now + lasts


def leader_lost(world: World, lasts: float) -> None:
    topic = world.random.choice(sorted(world.log.topics))
    place = (topic, world.random.randrange(len(world.log.topics[topic])))
    world.log.faults.leaderless[place] = world.timeline.now + lasts


def answers_lost(world: World, lasts: float) -> None:
    """Batches are stored, or not, and their sender hears of neither."""
    chances = {"ack_lost": 0.2, "not_sent": 0.2, "late": 0.1}
    for name, chance in chances.items():
        setattr(world.log.faults, name, chance)
        world.later(lasts, partial(setattr, world.log.faults, name, 0.0))


def fetches_fail(world: World, lasts: float) -> None:
    """Fetches fail, or the client passes over records that it never shows."""
    for name in ("poll_fails", "jumps"):
        setattr(world.log.faults, name, 0.1)
        world.later(lasts, partial(setattr, world.log.faults, name, 0.0))


def transaction_of_an_outsider(world: World, lasts: float) -> None:
    """It holds back all that follows, and leaves offsets without records behind."""
    service = world.random.choice(sorted(world.services))
    topic = world.random.choice(sorted(world.inputs[service]))
    place = (topic, world.random.randrange(len(world.log.topics[topic])))
    log = world.log.at(place)
    if log.open_from is None:
        log.open_from = log.end
        for _ in range(world.random.randint(1, 3)):
            world.log.hole(place)
        world.later(min(lasts, 3.0), lambda: _end_transaction(world, place))


def _end_transaction(world: World, place: tuple[str, int]) -> None:
    world.log.at(place).open_from = None
    world.log.hole(place)


def topic_grows(world: World, _: float) -> None:
    service = world.random.choice(sorted(world.services))
    topic = world.random.choice(sorted(world.inputs[service]))
    if len(world.log.topics[topic]) < 5 and topic not in world.outputs:
        world.log.create(topic, len(world.log.topics[topic]) + 1)


FAULTS: tuple[Fault, ...] = (
    crash,
    power_loss,
    freeze,
    freeze,
    stop,
    one_more,
    database_crashes,
    database_hangs,
    sessions_cut,
    slow_statements,
    commits_unknown,
    rows_locked,
    kafka_away,
    leader_lost,
    answers_lost,
    fetches_fail,
    transaction_of_an_outsider,
    topic_grows,
)
