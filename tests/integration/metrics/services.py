"""The metrics service at work, in this process or as processes of its own, and stand-ins for the other readers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from funnel import runtime
from funnel.contracts.registry import decoder
from funnel.embedded.ports import free_port
from funnel.postgres import Transaction
from funnel.settings import Settings
from funnel.spine import Decoder, Message, Outgoing, Rejected
from funnel.spine.model import AnyHandler
from services.metrics.app import build
from tests.support import eventually

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True)
class Client:
    """The HTTP side of one replica."""

    url: str

    async def json(self, path: str, **params: str) -> Any:
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as http:
            answer = await http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def get(self, path: str, **params: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as http:
            return await http.get(path, params=params)

    async def ready(self) -> bool:
        """Whether the replica answers and can work."""
        try:
            return (await self.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def series(self) -> Series:
        """Every sample of /metrics, by name and labels."""
        answer = await self.get("/metrics")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    async def lags(self) -> dict[tuple[str, str], float]:
        """Records waiting, by service and topic, as the ledger page's source tells them."""
        lags: dict[tuple[str, str], float] = {}
        for (name, labels), value in (await self.series()).items():
            if name == "funnel_lag_records":
                by = dict(labels)
                key = (by["service"], by["topic"])
                lags[key] = lags.get(key, 0) + value
        return lags


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Client]:
    """The service in this process, ready; stopped cleanly afterwards."""
    stop = asyncio.Event()
    async with build(settings) as application:
        task = asyncio.create_task(runtime.serve(application, stop))
        client = Client(f"http://127.0.0.1:{application.port}")
        try:
            await eventually(lambda: _ready(client, task))
            yield client
        finally:
            stop.set()
            await task


async def _ready(client: Client, task: asyncio.Task[None]) -> bool:
    if task.done():
        task.result()
    return await client.ready()


@dataclass
class Replica:
    """One process of the service."""

    process: subprocess.Popen[bytes]
    client: Client

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@contextmanager
def replica(settings: Settings, name: str) -> Iterator[Replica]:
    """`python -m services.metrics` on a port of its own; killed at the end if it still runs."""
    port = free_port()
    environment = {
        **os.environ,
        "FUNNEL_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "FUNNEL_POSTGRES_DSN": settings.postgres_dsn,
        "FUNNEL_TOPIC_PREFIX": settings.topic_prefix,
        "FUNNEL_METRICS_PORT": str(port),
        "FUNNEL_REPLICA": name,
        "FUNNEL_WAIVE_REPLICATION": "true",
        "FUNNEL_HOME": str(settings.home),
    }
    process = subprocess.Popen([sys.executable, "-m", "services.metrics"], env=environment)
    try:
        yield Replica(process, Client(f"http://127.0.0.1:{port}"))
    finally:
        process.kill()
        process.wait()


@dataclass
class Witness:
    """Stands for scoring or routing: reads a topic on the real spine, moves its position, does nothing else."""

    name: str
    topic: str
    rejects: frozenset[str] = frozenset()
    decoders: Mapping[str, Decoder] = field(init=False)

    def __post_init__(self) -> None:
        self.decoders = {self.topic: decoder(self.topic)}

    async def lock(self, tx: Transaction, messages: Sequence[Message[Any]]) -> None:
        return None

    async def load(self, tx: Transaction, keys: None) -> None:
        return None

    def decide(self, state: None, messages: Sequence[Message[Any]], now: datetime) -> Witnessed:
        return Witnessed([Rejected(m, "planted") for m in messages if m.event_id in self.rejects])

    async def save(self, tx: Transaction, decision: Witnessed) -> None:
        return None


@dataclass(frozen=True)
class Witnessed:
    """Nothing but rejections."""

    rejected: Sequence[Rejected[Any]]
    outgoing: Sequence[Outgoing] = ()


@asynccontextmanager
async def witnessing(settings: Settings, witness: AnyHandler) -> AsyncIterator[None]:
    """The witness, or a handler without the rest of its service, at work until the block ends."""
    stop = asyncio.Event()
    async with runtime.spine(settings, witness, publishes=False) as spine:
        tasks = [asyncio.create_task(worker.run(stop), name=worker.name) for worker in spine.workers]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)
