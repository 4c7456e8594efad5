"""One run's world: the servers, the services with their replicas, and the clock they share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Protocol
from unittest import mock

import structlog

from funnel.errors import FunnelError
from funnel.postgres import Database
from funnel.settings import Settings
from funnel.spine import loop as loop_module
from funnel.spine import reconcile as reconcile_module
from funnel.spine.leases import LeaseKeeper
from funnel.spine.loop import ConsumerLoop
from funnel.spine.model import AnyHandler
from funnel.spine.observer import Observer
from funnel.spine.relay import LEASE_KEY, LEASE_NAME, Relay
from tests.simulator.database import FakeDatabase, Server
from tests.simulator.kafka import FakeConsumer, FakeProducer, Log
from tests.simulator.statements import STATEMENTS
from tests.simulator.timeline import Process, Timeline
from tests.simulator.trace import Trace

BEGIN = datetime(2026, 11, 22, 9, tzinfo=UTC)
"""The wall clock at the beginning of virtual time."""

RESTART_SECONDS = 1.0

_SETTINGS = Settings(replica="simulated")


class Worker(Protocol):
    """What runs beside the spine."""

    @property
    def name(self) -> str: ...

    async def run(self, stop: asyncio.Event) -> None: ...


class WorldClock:
    """The wall clock of a process."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=round(self._timeline.now, 6))


@dataclass(frozen=True)
class Service:
    """A service as `app.py` puts it together: its handler, how many loops, and workers of its own."""

    make_handler: Callable[[], AnyHandler]
    lanes: int = 1
    extra: Callable[[Database, Any, WorldClock, Callable[[], None]], Sequence[Worker]] = lambda *_: ()
    begin: Callable[[Database], Awaitable[None]] | None = None
    """What it writes before its workers start."""


class World:
    """Everything there is. All chance comes from `random`, in one order."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.timeline = Timeline()
        self.trace = Trace(self.timeline)
        self.server = Server(self.timeline, self.random, self.trace, STATEMENTS)
        self.log = Log(self.timeline, self.random, self.trace)
        self.log.lost_lease = self._lost_lease
        self.clock = WorldClock(self.timeline)
        self.outside = self.timeline.process("outside")
        self.services: dict[str, Service] = {}
        self.inputs: Mapping[str, Sequence[str]] = {}
        """The topics each service reads."""
        self.outputs: set[str] = set()
        """The topics that services write: these keep their number of partitions."""
        self.replicas: list[Replica] = []
        self.violations: list[str] = []
        self.disagreements: list[str] = []
        """Where topics and tables differ since the database lost its tail."""
        self._started = 0

    def start(self, service: str) -> Replica:
        """Start one more replica of a service."""
        self._started += 1
        replica = Replica(self, service, f"{service}-{self._started}")
        self.replicas.append(replica)
        return replica

    def living(self, service: str | None = None) -> list[Replica]:
        return [one for one in self.replicas if one.lives and service in (None, one.service)]

    def run_for(self, seconds: float) -> None:
        self.timeline.run(lambda: False, self.timeline.now + seconds)

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something from outside after `seconds`."""
        self.outside.call_later(seconds, action)

    def violate(self, what: str) -> None:
        """Note that something promised does not hold."""
        self.trace.add("oracle", "VIOLATION", what)
        self.violations.append(what)

    def disagree(self, what: str) -> None:
        """Note that topics and tables differ. After a lost tail nothing keeps them together but `funnel reconcile`."""
        if self.server.history > 1:
            self.disagreements.append(what)
        else:
            self.violate(what)

    def end(self) -> None:
        """Forget everybody."""
        for replica in self.living():
            replica.process.kill()
        for process in (self.outside, self.server.process, self.log.process):
            process.kill()

    def _lost_lease(self, process: Process) -> bool:
        """Whether a sender is not, or no longer, the one who may publish for its service."""
        for replica in self.replicas:
            if replica.process is process:
                row = self.server.table(replica.service, "position").get(LEASE_KEY)
                return row is None or row["owner"] != process.name or row["lease_until"] <= self.timeline.now
        return False


class Replica:
    """One process of a service: the real spine, as `funnel.runtime.spine` assembles it, over the fakes."""

    def __init__(self, world: World, service: str, name: str) -> None:
        self._world = world
        self.service = service
        self.name = name
        self.process = world.timeline.process(name)
        self.loops: list[ConsumerLoop] = []
        self.left = False
        self._stop = asyncio.Event()
        self.keeper: LeaseKeeper | None = None
        world.trace.add(name, "start")
        self.process.create_task(self._live()).add_done_callback(self._ended)

    @property
    def lives(self) -> bool:
        return not (self.left or self.process.dead)

    def stop(self) -> None:
        """Ask it to stop, as SIGTERM does."""
        self._stop.set()

    def problems(self) -> dict[str, str]:
        return {name: why for one in self.loops for name, why in one.problems().items()}

    async def _live(self) -> None:
        world, stop = self._world, self._stop
        database = FakeDatabase(world.server, self.process, self.service)
        keeper = self.keeper = LeaseKeeper(database, self.name)
        try:
            await keeper.release()
            await keeper.add([LEASE_KEY])
            if begin := world.services[self.service].begin:
                await begin(database)
            workers = self._assemble(database, keeper)
            tasks = [asyncio.create_task(worker.run(stop), name=worker.name) for worker in workers]
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result
        finally:
            await keeper.release()

    def _assemble(self, database: Database, keeper: LeaseKeeper) -> list[Worker]:
        world, service = self._world, self._world.services[self.service]
        relay_database = FakeDatabase(world.server, self.process, self.service, size=1, durable=False)
        settings = _SETTINGS.model_copy(update={"replica": self.name})
        relay = Relay(settings, self.service, relay_database, keeper, FakeProducer(world.log, self.process))
        handler = service.make_handler()
        self.loops = [
            ConsumerLoop(
                handler,
                database,
                keeper,
                lambda: FakeConsumer(world.log, jumps=True),
                world.clock,
                relay.wake,
                lambda: keeper.holds(LEASE_NAME),
                lane,
                service.lanes,
            )
            for lane in range(service.lanes)
        ]
        observer = Observer(
            handler,
            keeper,
            lambda: {place: cursor for one in self.loops for place, cursor in one.cursors.items()},
            lambda: FakeConsumer(world.log),
        )
        return [
            keeper,
            *self.loops,
            observer,
            relay,
            *service.extra(database, handler, world.clock, relay.wake),
        ]

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        self.left = True
        error = task.exception()
        self._world.trace.add(self.name, "left", repr(error) if error else "stopped")
        if error is None:
            return
        if not isinstance(error, FunnelError):
            self._world.violate(f"{self.name} ended with {type(error).__name__}: {error}")
        self._world.later(RESTART_SECONDS, lambda: self._world.start(self.service))


@contextmanager
def simulated(world: World) -> Iterator[None]:
    """The parts of the spine that reach for the world by themselves reach for this one; nothing is logged."""
    logging_before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with (
            mock.patch.object(reconcile_module, "Consumer", new=_reader_of(world.log)),
            mock.patch.object(loop_module, "random", new=world.random),
        ):
            yield
    finally:
        world.end()
        structlog.configure(**logging_before)


def _reader_of(log: Log) -> Callable[..., FakeConsumer]:
    return lambda *_: FakeConsumer(log)
