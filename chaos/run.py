"""One run of one row: a deployment on an empty database and its own topics, load, the fault, rest, the verdict."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import httpx
import psycopg
from confluent_kafka import KafkaException

from chaos.checker import collect
from chaos.cluster.brokers import Brokers
from chaos.cluster.deployment import Deployment
from chaos.cluster.faketime import Clock
from chaos.cluster.ports import free_ports
from chaos.cluster.postgres import Postgres
from chaos.cluster.proxies import Proxies
from chaos.errors import ChaosError, NotPossible, RowFailed
from chaos.faults import Row
from chaos.ground import Ground
from chaos.history import History, Phase
from chaos.load import Load, Plan, connected
from chaos.profile import Profile
from chaos.sales import SalesTool, team
from chaos.traffic import cast, requests
from chaos.watching import Watcher, sample_until_cancelled
from funnel.errors import FunnelError
from funnel.settings import Settings
from funnel.topics import ensure_topics, topics

REST_SECONDS: Final = 180.0
"""After the last heal the deployment must be at rest within this time."""

AFTERWARDS_SECONDS: Final = 5.0
"""Load goes on so long after the last heal, so that it can be seen how soon work goes on."""

ANSWER_SECONDS: Final = 120.0
"""And every item must have its final answer within this."""

_LONGER: Final = 10
"""The load goes on while the fault lasts, up to so many times the planned events."""

_COLLECT_ATTEMPTS: Final = 5
_LEADERS_SETTLE_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.5
_CALM_LOOKS: Final = 2
T = TypeVar("T")


@dataclass(slots=True)
class Run:
    """What a row is given; see `chaos.faults`."""

    row: Row
    profile: Profile
    seed: int
    ground: Ground
    settings: Settings
    postgres: Postgres
    deployment: Deployment
    history: History
    watcher: Watcher
    load: Load
    client: httpx.AsyncClient
    database: str
    failpoints: Path
    clock: Clock | None
    chance: Random

    @property
    def brokers(self) -> Brokers:
        return self.ground.brokers

    @property
    def proxies(self) -> Proxies:
        """Raises NotPossible where there are none: the row should have said that it needs them."""
        if self.ground.proxies is None:
            raise NotPossible(self.ground.no_proxies)
        return self.ground.proxies

    @property
    def home(self) -> Path:
        """FUNNEL_HOME of the deployment."""
        return self.settings.home

    @property
    def dsn(self) -> str:
        """DSN of the run's database on who is primary now, around the proxy."""
        return self.postgres.direct(self.database)

    def topic(self, name: str) -> str:
        """The full name of a topic of this run."""
        return self.settings.topic_prefix + name

    def pick(self, full: float, quick: float, smoke: float | None = None) -> float:
        """The value for the size of this run."""
        return self.profile.pick(full, quick, smoke)

    def record(self, phase: Phase, what: str, detail: str = "", kills: int | None = None) -> None:
        """Write down that something was injected, or healed (under the same `what`)."""
        self.ground.report(f"{phase}: {what} {detail}".rstrip())
        self.history.fault(self.row.key, phase, what, detail, kills)

    @asynccontextmanager
    async def fault(self, what: str, detail: str = "", kills: int | None = None) -> AsyncIterator[None]:
        """`inject` now, `heal` at the end of the block, which must have healed it by then."""
        self.record("inject", what, detail, kills)
        yield
        self.record("heal", what)

    async def pause(self, seconds: float) -> None:
        """How long a fault lasts; never a wait for a result."""
        await asyncio.sleep(seconds)

    async def off(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking call beside the event loop."""
        return await asyncio.to_thread(work, *arguments)

    async def until(self, reached: Callable[[], T | Awaitable[T]], seconds: float, what: str) -> T:
        """Ask until the answer is true, and return it. Raises RowFailed.

        Servers that cannot be asked right now are asked again. A function that is not a coroutine may block.
        """
        give_up, why = time.monotonic() + seconds, ""
        while True:
            try:
                if inspect.iscoroutinefunction(reached):
                    answer = await reached()
                else:
                    answer = await asyncio.to_thread(reached)
            except (psycopg.Error, KafkaException, httpx.HTTPError) as error:
                why = f" ({type(error).__name__}: {error})"
            else:
                if answer:
                    return answer  # type: ignore[no-any-return]
                why = ""
            if time.monotonic() > give_up:
                raise RowFailed(f"Not within {seconds:.0f} s: {what}{why}")
            await asyncio.sleep(0.1)

    async def progress(self, seconds: float = 60.0) -> None:
        """Return when load that is sent after this moment was answered and read by scoring. Raises RowFailed."""
        before = await self.until(lambda: self._read_by("scoring"), seconds, "positions can be read")
        moment = time.time()
        await self.until(
            lambda: self.load.last_accepted_at > moment and self._read_by("scoring") > before,
            seconds,
            "events are accepted and scored again",
        )

    async def kill_broker(self, number: int) -> None:
        """kill -9."""
        await self.off(self.brokers[number].kill)

    async def stop_broker(self, number: int) -> None:
        """SIGTERM, and wait for its end."""
        await self.off(self.brokers[number].stop)

    async def start_broker(self, number: int) -> None:
        """Start or thaw one; returns when it serves again and has caught up."""
        self.brokers.launch(number)
        await self.off(self.brokers.await_health, self.settings.topic_prefix)

    async def start_brokers(self) -> None:
        """The same for all."""
        self.brokers.launch_all()
        await self.off(self.brokers.await_health, self.settings.topic_prefix)

    def _read_by(self, service: str) -> int:
        return 1 + sum(int(row["next"]) for row in self.watcher.positions() if row["service"] == service)


async def perform(row: Row, profile: Profile, seed: int, ground: Ground, folder: Path, history: History) -> None:
    """Run a row to its end and write its history, ready to be checked; `folder` is for the deployment's home.

    Raises NotPossible before anything is injected, RowFailed when the fault or the way back from it goes wrong (the
    history is written all the same), ChaosError when the ground itself cannot be had.
    """
    async with _prepared(row, profile, seed, ground, folder, history) as run:
        started, failure = time.time(), ""
        try:
            await _endure(run)
        except RowFailed as error:
            failure = str(error)
        await run.load.cancel()
        await _write_down(run, started)
        if failure:
            raise RowFailed(failure)


async def _endure(run: Run) -> None:
    """Load, fault, heal, rest. Raises RowFailed with everything that went wrong."""
    over = asyncio.Event()
    sales = SalesTool(run.seed, run.brokers.direct, run.settings.topic_prefix, topics()["lead-assignments"].partitions)
    loading = asyncio.create_task(run.load.send(over))
    beside = [
        asyncio.create_task(sample_until_cancelled(run.watcher, run.history)),
        asyncio.create_task(run.load.sell(sales)),
    ]
    try:
        run.ground.report(f"load: {run.load.planned} events")
        problems = await _inject(run)
        await asyncio.sleep(AFTERWARDS_SECONDS)
        over.set()
        await loading
        await _heal(run)
        await run.load.settle(ANSWER_SECONDS)
        problems += await _come_to_rest(run)
    finally:
        for task in (loading, *beside):
            task.cancel()
        ends = await asyncio.gather(loading, *beside, return_exceptions=True)
        sales.close()
    problems += [f"{type(error).__name__}: {error}" for error in ends if isinstance(error, Exception)]
    await run.load.drain(ANSWER_SECONDS)
    problems += await _come_to_rest(run)  # from what the reps reported last
    if left := run.load.unanswered:
        problems.append(f"{len(left)} items got no final answer, {left[0].event_id} among them")
    problems += await run.deployment.troubles()
    if problems:
        raise RowFailed("; ".join(problems))


async def _heal(run: Run) -> None:
    """Mend what the row left broken."""
    run.ground.report("healing what is left, draining")
    for name in run.deployment.names():
        run.deployment.thaw(name)
    await asyncio.to_thread(run.ground.heal, run.settings.topic_prefix)
    for what in list(run.history.open):
        run.record("heal", what, "with everything else, since the row did not")


async def _inject(run: Run) -> list[str]:
    """The row's own part; what went wrong with it."""
    assert run.row.fault is not None
    try:
        async with asyncio.timeout(run.row.seconds):
            await run.row.fault(run)
    except NotPossible:
        raise
    except TimeoutError:
        return [f"the fault hangs: not over after {run.row.seconds:.0f} s"]
    except (FunnelError, OSError, psycopg.Error, KafkaException, httpx.HTTPError) as error:
        return [f"{type(error).__name__}: {error}"]
    return []


async def _come_to_rest(run: Run) -> list[str]:
    """Wait until nothing is on its way, twice in a row; what is wrong when that takes too long."""
    give_up, calm = time.monotonic() + REST_SECONDS, 0
    while True:
        unrest = await asyncio.to_thread(run.watcher.unrest)
        calm = 0 if unrest else calm + 1
        if calm == _CALM_LOOKS:
            return []
        if time.monotonic() > give_up:
            return [f"not at rest after {REST_SECONDS:.0f} s: {', '.join(unrest)}"]
        await asyncio.sleep(_LOOK_SECONDS)


async def _write_down(run: Run, started: float) -> None:
    """Everything the checker needs, and the logs for whoever reads its verdict."""
    history = run.history
    config = {"restarts": run.deployment.restarts(), "replicas": dict(run.row.replicas), "size": run.profile.size.value}
    told = {"seed": run.seed, "row": run.row.key, "started_at": started, "ended_at": time.time()}
    history.keep("run", told | {"events": run.load.sent, "config": config, "statuses": dict(run.load.statuses)})
    history.close()
    await asyncio.to_thread(_collect, run)
    shutil.copytree(run.deployment.home.logs, history.folder / "logs", dirs_exist_ok=True)


def _collect(run: Run) -> None:
    """Have the checker's client write down what is there; leaders may still move for a moment after brokers came back.

    Raises KafkaException or psycopg.Error when that does not pass.
    """
    for attempt in itertools.count(1):
        try:
            collect(
                run.history.folder,
                run.brokers.direct,
                run.dsn,
                run.settings.topic_prefix,
                run.settings.url_of("metrics"),
            )
        except KafkaException:
            if attempt == _COLLECT_ATTEMPTS:
                raise
            time.sleep(_LEADERS_SETTLE_SECONDS)
        else:
            return


@asynccontextmanager
async def _prepared(
    row: Row, profile: Profile, seed: int, ground: Ground, folder: Path, history: History
) -> AsyncIterator[Run]:
    """A deployment that is up, its load not started; everything of it is removed afterwards, except the history."""
    if "proxies" in row.needs and ground.proxies is None:
        raise NotPossible(ground.no_proxies)
    events, rate = row.events or profile.events, row.rate or profile.rate
    people = cast(seed, _LONGER * events, datetime.now(UTC))
    planned = [one.person for one in people[: len(people) // _LONGER] if one.person]
    home = folder / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "routing.yaml").write_text(team(planned), encoding="utf-8")
    clock = Clock(home / "clock") if "faketime" in row.needs else None
    environment = dict(row.environment) | (clock.environment() if clock else {})
    if "failpoints" in row.needs:
        (home / "failpoints").mkdir()
        environment["FUNNEL_FAILPOINTS"] = str(home / "failpoints")
    async with AsyncExitStack() as stack:
        database = f"chaos_{row.key}_{secrets.token_hex(3)}"
        postgres = stack.enter_context(_database(row, ground, database))
        settings = _settings(home, ground, postgres, database, waive=row.waive or row.postgres == "asynchronous")
        stack.callback(_forget_topics, ground.brokers, settings.topic_prefix)
        if row.topics:
            await asyncio.to_thread(row.topics, ground.brokers, settings.topic_prefix)
        await ensure_topics(ground.brokers.direct, prefix=settings.topic_prefix)
        deployment = Deployment(settings, environment)
        stack.push_async_callback(deployment.stop)
        ground.report("starting the product")
        await deployment.start()
        await _start_replicas(deployment, row)
        watcher = Watcher(
            lambda: postgres.direct(database), ground.brokers.admin(), settings.topic_prefix, settings.url_of("metrics")
        )
        client = await stack.enter_async_context(connected())
        load = Load(Plan(events, rate, seed), requests(seed, people), deployment.urls("ingest"), client, history)
        chance = Random(f"{row.key}/{seed}")
        yield Run(
            row, profile, seed, ground, settings, postgres, deployment, history, watcher, load, client, database,
            home / "failpoints", clock, chance,
        )  # fmt: skip


async def _start_replicas(deployment: Deployment, row: Row) -> None:
    for service, count in row.replicas.items():
        for _ in range(count - 1):
            deployment.add(service)
    give_up = time.monotonic() + 60
    while troubles := await deployment.troubles():
        if time.monotonic() > give_up:
            raise ChaosError("; ".join(troubles))
        await asyncio.sleep(0.1)


@contextmanager
def _database(row: Row, ground: Ground, name: str) -> Iterator[Postgres]:
    """An empty database on the shared servers, or on new ones where the row is going to ruin them."""
    if row.postgres == "shared":
        ground.postgres.create(name)
        try:
            yield ground.postgres
        finally:
            ground.postgres.drop(name)
        return
    ground.report("starting a Postgres pair of its own")
    own = ground.new_postgres(f"own{row.key}", synchronous=row.postgres == "synchronous")
    try:
        own.create(name)
        yield own
    finally:
        own.close()


def _settings(home: Path, ground: Ground, postgres: Postgres, database: str, *, waive: bool) -> Settings:
    ingest, scoring, routing, metrics = free_ports(4)
    return Settings(
        home=home,
        kafka_bootstrap=ground.brokers.bootstrap,
        postgres_dsn=postgres.client(database),
        topic_prefix=f"{database}.",
        waive_replication=waive,
        key_secret="of the chaos matrix",
        ingest_port=ingest,
        scoring_port=scoring,
        routing_port=routing,
        metrics_port=metrics,
    )


def _forget_topics(brokers: Brokers, prefix: str) -> None:
    try:
        brokers.delete_topics(prefix)
    except KafkaException:
        return  # the brokers are healed before the next row; what is left costs only disk
