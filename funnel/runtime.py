"""How a service process lives: start, serve HTTP beside its workers, stop cleanly, or leave loudly with a reason."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from funnel.clock import Clock, SystemClock
from funnel.errors import FunnelError
from funnel.http.protocol import HttpProtocol
from funnel.kafka.checks import assert_c_extension, assert_replicated
from funnel.kafka.consumer import Consumer, Partition
from funnel.kafka.producer import Producer
from funnel.postgres import Database, Listener
from funnel.postgres.checks import assert_durable
from funnel.settings import Settings
from funnel.spine.chunks import Cursor
from funnel.spine.leases import LeaseKeeper
from funnel.spine.loop import ConsumerLoop
from funnel.spine.model import AnyHandler
from funnel.spine.observer import Observer
from funnel.spine.reconcile import Adopter, assert_agrees
from funnel.spine.relay import LEASE_NAME, Relay
from funnel.telemetry import LEASES_HELD

DRAIN_SECONDS = 10
CANCEL_SECONDS = 2
"""How long requests that outlived DRAIN_SECONDS may take to end once they are cancelled."""

EXIT_LOUD = 1
GC_THRESHOLDS = (50_000, 20, 100)

log = structlog.get_logger(__name__)


class Worker(Protocol):
    """Work that goes on beside HTTP. Returns soon after `stop` is set; raising ends the process loudly."""

    @property
    def name(self) -> str: ...

    async def run(self, stop: asyncio.Event) -> None: ...


@dataclass(frozen=True, slots=True)
class Application:
    """A built service: what it serves and what it does. `build` functions yield it and close it afterwards."""

    name: str
    http: ASGIApp
    workers: Sequence[Worker]
    host: str
    port: int


Build = Callable[[Settings], AbstractAsyncContextManager[Application]]


@dataclass(frozen=True, slots=True)
class Spine:
    """The shared machinery of one service process, opened and connected."""

    settings: Settings
    database: Database
    keeper: LeaseKeeper
    loops: Sequence[ConsumerLoop]
    observer: Observer
    relay: Relay | None
    workers: Sequence[Worker]

    def holds(self, name: str) -> bool:
        """Whether this replica holds the named duty that was asked for at start."""
        return self.keeper.holds(f"#{name}")

    def wake_relay(self) -> None:
        """Rows were added to the outbox outside the consumer loop."""
        if self.relay is not None:
            self.relay.wake()

    def cursors(self) -> dict[Partition, Cursor]:
        """Where every partition stands that this process reads."""
        return {partition: cursor for loop in self.loops for partition, cursor in loop.cursors.items()}

    def problems(self) -> dict[str, str]:
        """What keeps records from being applied, by check name."""
        return {name: why for loop in self.loops for name, why in loop.problems().items()}

    async def ready(self) -> Mapping[str, str]:
        """The checks that fail now, by name."""
        problems = self.problems()
        if trouble := self.keeper.ready():
            problems["postgres"] = trouble
        if trouble := self.observer.ready():
            problems["kafka"] = trouble
        if self.relay is not None and (trouble := self.relay.ready()):
            problems["relay"] = trouble
        return problems


@asynccontextmanager
async def spine(
    settings: Settings,
    handler: AnyHandler,
    *,
    publishes: bool = True,
    adopter: Adopter | None = None,
    duties: Sequence[str] = (),
    lanes: int = 1,
    clock: Clock | None = None,
) -> AsyncIterator[Spine]:
    """Connect everything `handler` needs; `duties` are names of which one replica at a time holds each.

    `lanes` batches are under way at once: while Postgres works on one, Python reads and decides the other. Worth it
    where batches seldom lock the same rows. `adopter`: tells whether the tables know all that was published.

    Raises UnsafeSettings, DatabaseAway, KafkaAway, TimelineChanged or TailLost. Leases are handed over at the end.
    """
    assert_c_extension()
    name = handler.name
    label = f"funnel-{name}/{settings.replica}"
    database = await Database.open(settings.postgres_dsn, schema=name, application_name=label)
    relay_database = await Database.open(
        settings.postgres_dsn,
        schema=name,
        application_name=f"{label} relay",
        size=1,
        durable=False,
        timeline=database.timeline,
    )
    producer = await Producer.open(settings, client_id=f"funnel-{name}", in_order=True) if publishes else None
    keeper = LeaseKeeper(database, settings.replica)
    try:
        await assert_durable(database, waive_replication=settings.waive_replication)
        await assert_replicated(settings, list(handler.decoders))
        await assert_agrees(settings, name, adopter, database)
        await keeper.release()  # what a process of this name held that was killed: nobody needs to wait for its end
        await keeper.add([(f"#{duty}", 0) for duty in duties] + ([(LEASE_NAME, 0)] if publishes else []))
        yield _assemble(settings, handler, database, relay_database, producer, keeper, lanes, clock or SystemClock())
    finally:
        await keeper.release()
        if producer is not None:
            await producer.close()
        await relay_database.close()
        await database.close()


def _assemble(
    settings: Settings,
    handler: AnyHandler,
    database: Database,
    relay_database: Database,
    producer: Producer | None,
    keeper: LeaseKeeper,
    lanes: int,
    clock: Clock,
) -> Spine:
    name = handler.name
    relay = Relay(settings, name, relay_database, keeper, producer) if producer is not None else None
    loops = [
        ConsumerLoop(
            handler,
            database,
            keeper,
            lambda: Consumer(settings, name),
            clock,
            relay.wake if relay is not None else lambda: None,
            lambda: keeper.holds(LEASE_NAME),
            lane,
            lanes,
        )
        for lane in range(lanes)
    ]

    def doubt() -> None:
        for loop in loops:
            loop.doubt()

    observer = Observer(
        handler,
        keeper,
        lambda: {partition: cursor for loop in loops for partition, cursor in loop.cursors.items()},
        lambda: Consumer(settings, f"{name}-observer", group=f"funnel-{name}"),
        doubt,
    )
    channels = {f"{name}_leases": keeper.wake}
    if relay is not None:
        channels[f"{name}_outbox"] = relay.wake
    keeper.watch(lambda: LEASES_HELD.labels(service=name).set(len(keeper.held)))
    workers: list[Worker] = [keeper, Listener(database, channels), *loops, observer]
    if relay is not None:
        workers.append(relay)
    return Spine(settings, database, keeper, loops, observer, relay, workers)


class _Server(uvicorn.Server):
    """Uvicorn without its signal handling: the process has one place that decides when to stop.

    When it has stopped, no request is worked on any more.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which cancels the requests that take longer than DRAIN_SECONDS; then wait for their end."""
        await super().shutdown(sockets)
        if cancelled := list(self.server_state.tasks):
            await asyncio.wait(cancelled, timeout=CANCEL_SECONDS)


async def serve(application: Application, stop: asyncio.Event) -> None:
    """Serve until `stop` is set or a worker fails; then finish what is in flight within `DRAIN_SECONDS`.

    What takes longer is cancelled. No request and no worker goes on after this returned.
    Raises what the worker raised, or FunnelError when the port is taken.
    """
    sock = _bind(application)
    config = uvicorn.Config(
        application.http,
        http=HttpProtocol,
        ws="none",
        access_log=False,
        proxy_headers=False,  # nobody here asks for the client's address, so nobody can claim one
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        lifespan="off",
    )
    server = _Server(config)
    http = asyncio.create_task(server.serve(sockets=[sock]), name="http")
    workers = [asyncio.create_task(worker.run(stop), name=worker.name) for worker in application.workers]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    log.info("serving", service=application.name, host=application.host, port=application.port)
    ended: list[str] = []
    try:
        await asyncio.wait([stopping, http, *workers], return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            ended = [task.get_name() for task in (http, *workers) if task.done()]
    finally:
        stop.set()
        server.should_exit = True
        stopping.cancel()
        await _finish([http, *workers])
        sock.close()
    if ended:
        raise FunnelError(f"{' and '.join(ended)} of {application.name} ended though nobody had asked.")
    log.info("stopped", service=application.name)


async def _finish(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Let the tasks end, cancel the slow ones, raise the first failure."""
    # Longer than the HTTP server takes: if it were cancelled, nobody would wait for its requests.
    _, slow = await asyncio.wait(tasks, timeout=DRAIN_SECONDS + CANCEL_SECONDS + 1)
    for task in slow:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _bind(application: Application) -> socket.socket:
    try:
        return socket.create_server((application.host, application.port), backlog=2048)
    except OSError as error:
        raise FunnelError(
            f"Port {application.port} on {application.host} cannot be used ({error.strerror}): "
            f"stop what uses it or set FUNNEL_{application.name.upper()}_PORT."
        ) from error


def run(build: Build) -> None:
    """The whole life of a service process; exits 0 after a clean stop, 1 with a reason otherwise."""
    settings = Settings()
    configure_logging(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_live(build, settings))
    except FunnelError as error:
        leave(str(error))
    except Exception as error:
        log.exception("crashed")
        leave(f"{type(error).__name__}: {error}")


async def _live(build: Build, settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with build(settings) as application:
        _tame_garbage_collection()
        await serve(application, stop)


def _tame_garbage_collection() -> None:
    """What was built lives as long as the process: leave it out of every collection, and collect less often.

    A batch makes tens of thousands of objects that die by reference count; the defaults look through them hundreds of
    times (a quarter of scoring's CPU).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def leave(reason: str) -> None:
    """End the process loudly: the reason goes to stderr and to the file the supervisor named."""
    sys.stderr.write(f"{reason}\n")
    if target := os.environ.get("FUNNEL_REASON_FILE"):
        with contextlib.suppress(OSError):
            Path(target).write_text(reason, encoding="utf-8")
    sys.exit(EXIT_LOUD)


def configure_logging(level: str) -> None:
    """One JSON object per line on stderr."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # a line for each form that is none
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it repeats itself for ever; /readyz says what matters
