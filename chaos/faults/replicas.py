"""Replicas that freeze past their lease, come and go, or work on the same partitions under one lease."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from functools import partial
from typing import Final

import httpx
import psutil
import psycopg
from psycopg import sql

from chaos.cluster.deployment import Deployment
from chaos.errors import RowFailed
from chaos.faults import row
from chaos.run import Run
from funnel import failpoints

READERS: Final = ("scoring", "routing", "metrics")
_TAKEN_SECONDS: Final = 60.0
_HIT_SECONDS: Final = 90.0
_READY_SECONDS: Final = 90.0
_MOST: Final = 6
_ANSWER_SECONDS: Final = 10.0
_ROBBED_EVERY_SECONDS: Final = 0.4
"""A replica looks at its leases once a second, so it often works under one that is given away already."""


# -- zombies ---------------------------------------------------------------------------------------------------------


@row(3, "zombie: scoring frozen past its lease, then awake", part="a", replicas={"scoring": 2})
async def scoring_frozen(run: Run) -> None:
    """One of two replicas of scoring is frozen wherever it happens to be; the other takes its partitions over and
    goes on; the frozen one wakes, finds itself fenced, and gets a share again."""
    await _zombies(run, "scoring")


@row(3, "zombie: routing frozen past its lease, then awake", part="b", replicas={"routing": 2})
async def routing_frozen(run: Run) -> None:
    """The same with routing: the relay that wakes holds rows which its successor has published meanwhile."""
    await _zombies(run, "routing")


async def _zombies(run: Run, service: str) -> None:
    await run.load.reached(0.1)
    for _ in range(int(run.pick(full=6, quick=3, smoke=2))):
        name = run.chance.choice(run.deployment.replicas(service))
        pid = await run.deployment.pid(name)
        async with run.fault(f"freeze {name}", "past its lease"):
            owner = replica_of(pid)
            await run.deployment.freeze(name)
            await _replaced(run, service, owner)
            run.deployment.thaw(name)
            await _has_a_share(run, service, owner)
        await run.progress()


@row(3, "zombie: frozen inside a transaction, or between a send and its answer", part="c",
     needs=("failpoints",), replicas={"scoring": 2, "routing": 2})  # fmt: skip
async def frozen_at_a_point(run: Run) -> None:
    """A replica of scoring or routing freezes with rows written and COMMIT not sent, with COMMIT answered and not
    noticed, or with its relay before or after a send. The other one goes on; what the frozen one does when it wakes
    is refused, or has no second effect."""
    await run.load.reached(0.1)
    points = ("spine.save.after", "spine.commit.before", "spine.commit.after", "relay.publish.before",
              "relay.publish.after")  # fmt: skip
    aims = [(point, service) for point in points for service in ("scoring", "routing")]
    for point, service in run.chance.sample(aims, int(run.pick(full=len(aims), quick=6, smoke=3))):
        async with run.fault(f"freeze {service} at {point}"):
            failpoints.arm(run.failpoints, point, f"stop {run.chance.randint(1, 5)} service={service}")
            hit = partial(failpoints.hit_by, run.failpoints, point)
            pid = await run.until(hit, _HIT_SECONDS, f"{service} gets to {point}")
            assert pid is not None
            owner = replica_of(pid)
            await _replaced(run, service, owner)
            os.kill(pid, signal.SIGCONT)
            await _has_a_share(run, service, owner)
        await run.progress()


async def _replaced(run: Run, service: str, owner: str) -> None:
    """Return when another replica has taken everything over and has read on."""
    what = f"another replica of {service} takes over from {owner}"
    before = await run.until(lambda: _read(run, service), _TAKEN_SECONDS, "positions can be read")
    await run.until(lambda: owner not in _owners(run, service), _TAKEN_SECONDS, what)
    await run.until(lambda: _read(run, service) > before, _TAKEN_SECONDS, f"{service} reads on without {owner}")
    await run.pause(run.pick(full=10, quick=5, smoke=1))


async def _has_a_share(run: Run, service: str, owner: str) -> None:
    await run.until(lambda: owner in _owners(run, service), _TAKEN_SECONDS, f"{owner} has a share of {service} again")


def _owners(run: Run, service: str) -> set[str]:
    return {str(one["owner"]) for one in run.watcher.positions() if one["service"] == service}


def _read(run: Run, service: str) -> int:
    return 1 + sum(int(one["next"]) for one in run.watcher.positions() if one["service"] == service)


def replica_of(pid: int) -> str:
    """The name under which a process owns its leases."""
    return psutil.Process(pid).environ()["FUNNEL_REPLICA"]


# -- storm -----------------------------------------------------------------------------------------------------------


@row(4, "replica storm: 1 to 6 replicas of each service come, go and die")
async def storm(run: Run) -> None:
    """At random moments a replica of scoring, routing or metrics is started, ended with SIGTERM or killed. Work goes
    on meanwhile, and at the end, with one replica of each, nothing is left undone."""
    await run.load.reached(0.1)
    over = time.monotonic() + run.pick(full=600, quick=90, smoke=25)
    most, longest = int(run.pick(full=_MOST, quick=4, smoke=3)), run.pick(full=5, quick=4, smoke=3)
    async with run.fault("replica storm", f"up to {most} replicas"):
        while time.monotonic() < over:
            await _disturb(run, run.chance.choice(READERS), most)
            await run.pause(run.chance.uniform(0.5, longest))
        for service in READERS:
            for name in _further(run, service):
                await run.deployment.remove(name)
    await run.progress()


async def _disturb(run: Run, service: str, most: int) -> None:
    """One thing that happens to the replicas of a service."""
    names = run.deployment.replicas(service)
    whom = run.chance.choice(names)
    deed = run.chance.choice(("add", "add", "remove", "terminate", "kill"))
    if deed == "add" and len(names) < most:
        run.deployment.add(service)
    elif deed == "remove" and (further := _further(run, service)):
        await run.deployment.remove(run.chance.choice(further))
    elif deed == "terminate":
        await run.deployment.terminate(whom)
    elif deed == "kill":
        run.record("inject", f"kill {whom}", f"one of {len(names)}")
        await run.deployment.kill(whom)
        run.record("heal", f"kill {whom}", "it is started again by itself")


def _further(run: Run, service: str) -> list[str]:
    return run.deployment.replicas(service)[1:]


# -- split brain -----------------------------------------------------------------------------------------------------


@row(6, "split brain: two processes under one name", part="a")
async def same_name(run: Run) -> None:
    """A second process of scoring and of routing is started under the name of the first: both find the same leases
    with the same epochs to be theirs, read the same records, and publish the same outbox.

    Of each batch one is committed. Records may be repeated on the topics, byte for byte and in order.
    """
    await run.load.reached(0.1)
    async with run.fault("two processes under one name", "scoring, routing"):
        twins = {}
        for service in ("scoring", "routing"):
            owner = replica_of(await run.deployment.pid(service))
            twins[service] = run.deployment.add(service, {"FUNNEL_REPLICA": owner})
        for service in twins:
            await run.until(partial(_both_hold_all, run, service), _READY_SECONDS, f"both {service} hold all leases")
        await run.pause(run.pick(full=90, quick=30, smoke=10))
        await run.progress()
        for service, twin in twins.items():
            await _both_at_work(run, service)
            await run.deployment.remove(twin)
    await run.progress()


def _both_hold_all(run: Run, service: str) -> bool:
    held = [_metric(url, f'funnel_leases_held{{service="{service}"}}') for url in run.deployment.urls(service)]
    return min(held) == max(held) >= len([one for one in run.watcher.positions() if one["service"] == service])


async def _both_at_work(run: Run, service: str) -> None:
    """Both must have applied something: else this was no split brain."""
    for url in run.deployment.urls(service):
        passed = await run.off(_metric, url, "funnel_spine_records_total{")
        run.history.measured.setdefault(f"records of {service} by process", []).append(passed)
        if not passed:
            raise RowFailed(f"{service} at {url} has applied nothing")


def _metric(url: str, start: str) -> float:
    """The sum of the lines of /metrics that begin so. Raises httpx.HTTPError."""
    text = httpx.get(f"{url}/metrics", timeout=_ANSWER_SECONDS, trust_env=False).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(start))


@row(6, "split brain: leases given away behind their owners' backs", part="b", replicas={"scoring": 2, "routing": 2})
async def leases_given_away(run: Run) -> None:
    """Rows of leases are given to one replica, then to the other, without a new epoch, while both work: each still
    believes in what it held. Now and then an epoch is raised under the hands of its owner, who is then fenced.

    Of each batch one is committed, nobody stops, and positions only move forward.
    """
    await run.load.reached(0.1)
    names = [name for service in ("scoring", "routing") for name in run.deployment.replicas(service)]
    owners = {name: replica_of(await run.deployment.pid(name)) for name in names}
    robbing = asyncio.create_task(_rob(run, owners))
    async with run.fault("leases are given away without a new epoch", "scoring, routing"):
        try:
            await run.pause(run.pick(full=90, quick=30, smoke=10))
        finally:
            robbing.cancel()
            with suppress(asyncio.CancelledError):
                await robbing
    await run.progress()
    for service in ("scoring", "routing"):
        count = await run.off(_fenced, run.deployment, service)
        run.history.measured[f"batches of {service} fenced"] = [count]


async def _rob(run: Run, owners: dict[str, str]) -> None:
    while True:
        for service in ("scoring", "routing"):
            owner = owners[run.chance.choice(run.deployment.replicas(service))]
            await run.off(_give, run.dsn, service, owner)
            if run.chance.random() < 0.2:
                await run.off(_raise, run.dsn, service)
        await asyncio.sleep(_ROBBED_EVERY_SECONDS)


def _give(dsn: str, service: str, owner: str) -> None:
    _change(dsn, service, "UPDATE {} SET owner = %s, lease_until = clock_timestamp() + interval '3 s'", owner)


def _raise(dsn: str, service: str) -> None:
    _change(dsn, service, "UPDATE {} SET epoch = epoch + 1 WHERE partition %% 3 = %s::int", "0")


def _change(dsn: str, service: str, statement: str, value: str) -> None:
    table = sql.Identifier(service, "position")
    with psycopg.connect(dsn) as connection:
        connection.execute(sql.SQL(statement).format(table), (value,))


def _fenced(deployment: Deployment, service: str) -> int:
    """How often processes of a service say in their logs that a batch of theirs was refused."""
    logs = [deployment.home.log_of(name) for name in deployment.replicas(service)]
    return sum(log.read_text(encoding="utf-8", errors="replace").count("fenced") for log in logs)
