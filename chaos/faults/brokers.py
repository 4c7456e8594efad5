"""Brokers that die, are stopped, freeze, or are too few."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from confluent_kafka.cimpl import NewTopic

from chaos.cluster.brokers import SIZE, Brokers
from chaos.errors import RowFailed
from chaos.faults import row
from chaos.run import Run
from funnel.topics import topics

_MOVED_SECONDS: Final = 30.0
_REFUSED_SECONDS: Final = 12.0
"""Ingest waits 3 s for Kafka, then as long for the spool; what was under way may still be answered by then."""

EVENTS: Final = "lead-events"


@row(7, "broker SIGKILL, the leader chased", part="a")
async def leader_killed(run: Run) -> None:
    """Whoever leads one partition dies, again and again, each time after the one before is back and in sync.

    Another leads soon, and events are accepted and scored meanwhile.
    """
    await _chase(run, "kill")


@row(7, "broker SIGTERM, the leader chased", part="b")
async def leader_stopped(run: Run) -> None:
    """The same, and the leader is asked to end: it hands its partitions over."""
    await _chase(run, "stop")


async def _chase(run: Run, how: str) -> None:
    """Whoever leads one partition ends, five times: each time after the one before is back and in sync."""
    partition = run.chance.randrange(topics()[EVENTS].partitions)
    await run.load.reached(0.1)
    for _ in range(int(run.pick(full=5, quick=5, smoke=2))):
        leader = (await run.off(run.brokers.leaders, run.topic(EVENTS)))[partition]
        async with run.fault(f"{how} broker {leader}", f"leader of {EVENTS}/{partition}"):
            await (run.kill_broker(leader) if how == "kill" else run.stop_broker(leader))
            await run.until(partial(_led_by_another, run, partition, leader), _MOVED_SECONDS, "another leader")
            await run.progress()
            await run.start_broker(leader)


def _led_by_another(run: Run, partition: int, than: int) -> bool:
    return run.brokers.leaders(run.topic(EVENTS))[partition] not in (-1, than)


@row(8, "all brokers down, then up")
async def all_brokers_down(run: Run) -> None:
    """All three die at once. Meanwhile events are accepted into the spool, and drained when Kafka is back."""
    await run.load.reached(0.2)
    async with run.fault("kill all brokers", kills=SIZE):
        for broker in run.brokers:
            await run.kill_broker(broker.number)
        await run.pause(run.pick(full=300, quick=60))
        await _accepted_since(run, time.time(), "with all brokers away, events go to the spool")
        await run.start_brokers()
    await run.progress()


def single_copies(brokers: Brokers, prefix: str) -> None:
    """Every topic with one copy of each partition, a third of them on each broker."""
    admin = brokers.admin()
    for name, topic in topics().items():
        places = [[1 + number % SIZE] for number in range(topic.partitions)]
        config = {**topic.broker_config("production"), "min.insync.replicas": "1"}
        new = NewTopic(prefix + name, topic.partitions, replica_assignment=places, config=config)
        for future in admin.create_topics([new]).values():
            future.result(30)


@row(10, "partitions without a leader for longer than the request timeout, broker dead", part="a",
     topics=single_copies, waive=True)  # fmt: skip
async def leaderless_dead(run: Run) -> None:
    """One copy of each partition, and one broker dies: a third of all partitions has no leader for longer than any
    request waits. Events are accepted all the time, and what waited is published when it is back.
    """
    await run.load.reached(0.2)
    number = run.chance.randint(1, SIZE)
    async with run.fault(f"kill broker {number}", "the only copy of a third of all partitions"):
        await run.kill_broker(number)
        await _leaderless(run, number)
        await run.start_broker(number)
    await run.progress()


@row(10, "partitions without a leader for longer than the request timeout, broker frozen", part="b",
     topics=single_copies, waive=True)  # fmt: skip
async def leaderless_frozen(run: Run) -> None:
    """The same with a broker that is frozen: its connections stay open, and nobody answers."""
    await run.load.reached(0.2)
    number = run.chance.randint(1, SIZE)
    async with run.fault(f"freeze broker {number}", "the only copy of a third of all partitions"):
        run.brokers[number].freeze()
        await _leaderless(run, number)
        await run.start_broker(number)
    await run.progress()


async def _leaderless(run: Run, number: int) -> None:
    """Stay as long as the fault lasts; other partitions must go on meanwhile."""
    await run.until(lambda: _without_leader(run), _MOVED_SECONDS, f"partitions of broker {number} are leaderless")
    await run.pause(run.pick(full=60, quick=20))
    await _accepted_since(run, time.time(), "events are still accepted")


def _without_leader(run: Run) -> bool:
    return -1 in run.brokers.leaders(run.topic(EVENTS)).values()


@row(12, "two of three brokers down", part="a")
async def two_down(run: Run) -> None:
    """One broker of three is left, too few for a majority and for min.insync.replicas: events go to the spool."""
    await run.load.reached(0.2)
    two = run.chance.sample(range(1, SIZE + 1), 2)
    async with run.fault(f"kill brokers {two[0]} and {two[1]}", kills=len(two)):
        for number in two:
            await run.kill_broker(number)
        await run.pause(run.pick(full=60, quick=20))
        await _accepted_since(run, time.time(), "events go to the spool")
        await run.start_brokers()
    await run.progress()


@row(12, "min ISR not met: no copy too few is called stored", part="b")
async def min_isr_not_met(run: Run) -> None:
    """Every topic asks for three copies in sync, and one broker is dead: Kafka refuses, and events go to the spool."""
    await run.load.reached(0.2)
    number = run.chance.randint(1, SIZE)
    async with run.fault(f"kill broker {number}", f"min.insync.replicas = {SIZE} on every topic"):
        await _too_few_copies(run, number)
        await run.pause(run.pick(full=60, quick=20))
        await _accepted_since(run, time.time(), "events go to the spool")
        await run.start_broker(number)
        await _enough_copies(run)
    await run.progress()


@row(12, "min ISR not met and Postgres away: no 202 at all", part="c", needs=("proxies",))
async def min_isr_not_met_and_no_spool(run: Run) -> None:
    """The same, and the spool cannot be reached either: while it lasts no event is called stored."""
    await run.load.reached(0.2)
    number = run.chance.randint(1, SIZE)
    async with run.fault(f"kill broker {number}", "min ISR not met, Postgres cut off"):
        await _too_few_copies(run, number)
        for name in run.proxies.named("postgres"):
            await run.off(run.proxies.down, name)
        await run.pause(_REFUSED_SECONDS)
        since = time.time()
        await run.pause(run.pick(full=60, quick=15))
        if run.load.last_accepted_at > since:
            raise RowFailed(f"an event was called stored {run.load.last_accepted_at - since:.1f} s after nothing could")
        for name in run.proxies.named("postgres"):
            await run.off(run.proxies.up, name)
        await run.start_broker(number)
        await _enough_copies(run)
    await run.progress()


async def _too_few_copies(run: Run, number: int) -> None:
    await run.off(_require_copies, run, SIZE)
    await run.kill_broker(number)
    await run.until(lambda: _shrunk(run), _MOVED_SECONDS, "copies are out of sync")


async def _enough_copies(run: Run) -> None:
    await run.off(_require_copies, run, 2)


def _require_copies(run: Run, number: int) -> None:
    run.brokers.configure([run.topic(name) for name in topics()], min_insync_replicas=str(number))


def _shrunk(run: Run) -> bool:
    return all(len(copies) < SIZE for copies in run.brokers.in_sync(run.topic(EVENTS)).values())


async def _accepted_since(run: Run, moment: float, what: str) -> None:
    await run.until(lambda: run.load.last_accepted_at > moment, 30, what)
