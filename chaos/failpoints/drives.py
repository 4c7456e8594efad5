"""How the points are reached: for most of them the load is enough, some need a fault or a person beside it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from chaos.errors import RowFailed
from chaos.failpoints.stage import PATIENCE_SECONDS, Stage, until
from funnel.failpoints import COMMAND_LINE, POINTS


class Aim(NamedTuple):
    """A point in one of the services that can get there."""

    point: str
    service: str


AIMS: Final = tuple(Aim(point, service) for point, told in POINTS.items() for service in told.services)

_AGAIN_SECONDS: Final = 0.1

Done = Callable[[], bool]
"""Whether what was aimed at has happened."""

Drive = Callable[[Stage, Sequence[Aim], Done], Awaitable[None]]
"""Does what it takes to reach the points of some aims, which may be in different services, until it is done."""


async def wait(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """The load gets there by itself."""
    await until(done, f"{_named(aims)} reached")


async def end_services(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """Services get there when they end, or when they start again."""
    for service in {aim.service for aim in aims}:
        await until(partial(stage.pid, service), f"{service} runs")
        stage.signal(service, signal.SIGTERM)
    await wait(stage, aims, done)


async def take_kafka_away(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """Ingest spools while Kafka is frozen, and drains the spool when it thaws."""
    spooled = stage.load.spooled
    after_it = all(aim.point.startswith("spool.forget") for aim in aims)
    with stage.frozen("kafka"):
        await until(
            lambda: done() or (after_it and stage.load.spooled > spooled), f"{_named(aims)} reached while Kafka is away"
        )
    await wait(stage, aims, done)


async def leave_rows(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """Relays die before they publish, so that those after them find rows."""
    for aim in aims:
        stage.arm("relay.publish.before", "kill", aim.service)
        await until(lambda: stage.hit("relay.publish.before"), f"the relay of {aim.service} at work")
    await wait(stage, aims, done)


async def stall_relays(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """The same without a death, and the spool with it: relays fail, and ingest spools, while Kafka is frozen."""
    services = {aim.service for aim in aims} - {"ingest"}
    for service in services:
        stage.arm("relay.publish.before", "stop", service)
        await until(lambda: stage.hit("relay.publish.before"), f"the relay of {service} at work")
    with stage.frozen("kafka"):
        for service in services:
            stage.signal(service, signal.SIGCONT)
        released = "spool.release.after"
        for service in services:
            await until(partial(_relay_failed, stage, service), f"the relay of {service} failed")
        await until(lambda: Aim(released, "ingest") in stage.visited(), f"{released} reached")
    await wait(stage, aims, done)


async def send_too_much(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """What a source sends beyond its rate is refused, and its key set free."""
    await _again(stage.send_too_much, aims, done)


async def make_room(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """Held leads are given away when a rep may have more."""
    await _again(stage.make_room, aims, done)


async def change(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """People change sources and reps."""

    async def both() -> None:
        await asyncio.gather(stage.change_source(), stage.make_room())

    await _again(both, aims, done)


async def replay(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """An operator replays a suspect."""

    async def once() -> None:
        await asyncio.to_thread(stage.replay)

    await _again(once, aims, done)


async def skip(stage: Stage, aims: Sequence[Aim], done: Done) -> None:
    """An operator skips receipts: of all records those that nobody misses, since they only witness."""
    await until(lambda: stage.pid("metrics"), "metrics runs")
    with stage.frozen("metrics"):
        stage.signal("ingest", signal.SIGTERM)  # it tells its last receipt
        place = None
        while place is None:
            place = await asyncio.to_thread(stage.unread_receipts)
        await asyncio.to_thread(stage.skip_receipts, *place)
    await wait(stage, aims, done)


_DRIVES: Final[dict[str, Drive]] = {
    "lease.add": end_services,
    "lease.take": end_services,
    "lease.release": end_services,
    "spine.locate": end_services,
    "idempotency.prune": end_services,
    "receipts.tell": end_services,
    "idempotency.drop": send_too_much,
    "spool": take_kafka_away,
    "relay.readback": leave_rows,
    "releaser": make_room,
    "admin": change,
    "quarantine": replay,
    "position": skip,
}
"""By how the name of a point begins."""


def drive_of(aim: Aim) -> Drive:
    """How the point is reached in that service."""
    if aim.service == COMMAND_LINE and aim.point.startswith("producer"):
        return replay
    return next((drive for name, drive in _DRIVES.items() if aim.point.startswith(f"{name}.")), wait)


async def _again(act: Callable[[], Awaitable[None]], aims: Sequence[Aim], done: Done) -> None:
    """Act until it is done: the service may be away, or not have come so far."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not done():
        if time.monotonic() > give_up:
            raise RowFailed(f"Not in {PATIENCE_SECONDS:g} s: {_named(aims)} reached.")
        await act()
        await asyncio.sleep(_AGAIN_SECONDS)


def _relay_failed(stage: Stage, service: str) -> bool:
    return "relay:" in stage.problem(service)


def _named(aims: Sequence[Aim]) -> str:
    return " and ".join(f"{aim.point} in {aim.service}" for aim in aims)
