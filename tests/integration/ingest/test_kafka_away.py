"""Kafka dies, freezes, or is not there yet: nothing is promised that is not kept, and nobody restarts anything."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from funnel.embedded.kafka import KafkaServer
from funnel.embedded.ports import free_port
from funnel.embedded.process import Child
from funnel.embedded.servers import wait_for
from funnel.settings import Settings
from tests.integration.ingest.conftest import settings_for, topics_of_ingest
from tests.integration.ingest.service import ids, is_accepted, is_ready, read, running
from tests.support import eventually
from tests.support.kafka import create_topics
from tests.unit.ingest.given import an_event

# A broker that was killed comes back in ten seconds, on a busy machine in far more.
RECOVERY_SECONDS = 120.0


class Broker:
    """A broker of this module's own, to be mistreated."""

    def __init__(self, folder: Path) -> None:
        self.server = KafkaServer(folder / "kafka", free_port())
        self._log = folder / "kafka.log"
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        return self.server.bootstrap

    async def start(self) -> None:
        """Start it unless it runs, and wait until it answers. The process is tied to the calling thread."""
        if self._child is None or not self._child.running():
            self._child = Child.start(self.server.prepare(lambda _: None), self._log, ends_with_us=True)
        await asyncio.to_thread(wait_for, self.server.answers, self._child)

    def signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        os.kill(self._child.identity.pid, number)

    def kill(self) -> None:
        assert self._child is not None
        self.signal(signal.SIGKILL)
        self._child.await_end()

    def stop(self) -> None:
        if self._child is not None and self._child.running():
            self.signal(signal.SIGCONT)
            self._child.stop()


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture
async def broker(own_broker: Broker) -> Broker:
    await own_broker.start()
    return own_broker


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> Settings:
    prefix = f"t{secrets.token_hex(4)}."
    create_topics(broker.bootstrap, dict.fromkeys(topics_of_ingest(prefix), 3))
    return settings_for(broker.bootstrap, prefix, tmp_path / "home")


async def test_a_killed_broker_is_503_until_it_is_back(broker: Broker, settings: Settings) -> None:
    async with running(settings) as client:
        assert (await client.post("/v1/events", json=an_event(event_id="before"))).status_code == 202
        assert await is_ready(client)

        broker.kill()
        refused = await client.post("/v1/events", json=an_event(event_id="during"))
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["event_id"] == "during"
        batch = await client.post("/v1/events/batch", json={"events": [an_event(event_id="during"), {}]})
        assert batch.status_code == 503
        assert [result["status"] for result in batch.json()["results"]] == ["retry", "invalid"]
        assert (await client.get("/livez")).status_code == 200

        await broker.start()
        await eventually(lambda: is_accepted(client, an_event(event_id="during")), RECOVERY_SECONDS)
    assert {"before", "during"} == set(ids(read(settings)))


async def test_readiness_follows_the_broker_without_any_post(broker: Broker, settings: Settings) -> None:
    async with running(settings) as client:
        assert await is_ready(client)
        broker.kill()
        await eventually(lambda: is_unready(client), RECOVERY_SECONDS)
        await broker.start()
        await eventually(lambda: is_ready(client), RECOVERY_SECONDS)


async def test_a_frozen_broker_is_an_unknown_state_not_a_202(broker: Broker, settings: Settings) -> None:
    async with running(settings) as client:
        assert await is_accepted(client, an_event(event_id="before"))
        broker.signal(signal.SIGSTOP)
        refused = await client.post("/v1/events", json=an_event(event_id="during"))
        broker.signal(signal.SIGCONT)
        assert refused.status_code == 503
        assert "not known" in refused.json()["detail"]
        await eventually(lambda: is_accepted(client, an_event(event_id="during")), RECOVERY_SECONDS)
    stored = read(settings)
    assert set(ids(stored)) == {"before", "during"}
    assert len({record.headers["ce_bodyhash"] for record in stored if record.headers["ce_id"] == b"during"}) == 1


async def test_kafka_away_at_start_is_no_reason_not_to_start(broker: Broker, settings: Settings) -> None:
    broker.kill()
    async with running(settings) as client:
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "Kafka cannot be reached" in ready.json()["problems"]["kafka"]
        assert (await client.post("/v1/events", json=an_event())).status_code == 503
        assert (await client.post("/v1/events", json={})).status_code == 422

        await broker.start()
        await eventually(lambda: is_accepted(client, an_event(event_id="after")), RECOVERY_SECONDS)
        await eventually(lambda: is_ready(client), RECOVERY_SECONDS)


async def is_unready(client: httpx.AsyncClient) -> bool:
    return not await is_ready(client)
