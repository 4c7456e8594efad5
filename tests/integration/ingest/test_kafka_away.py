"""Kafka dies, freezes, or is not there yet, and Postgres is away too: nothing is promised that is not kept."""

from __future__ import annotations

import secrets
from pathlib import Path

import httpx
import pytest

from funnel.embedded.kafka import KafkaServer
from funnel.settings import Settings
from services.ingest import watch
from tests.integration.ingest.conftest import settings_for, topics_of_ingest
from tests.integration.ingest.service import ids, is_accepted, is_ready, read, running
from tests.support import eventually
from tests.support.kafka import create_topics
from tests.support.mistreated import Mistreated
from tests.unit.ingest.given import an_event

# A broker that was killed comes back in ten seconds, on a busy machine in far more.
RECOVERY_SECONDS = 120.0


@pytest.fixture
def settings(broker: Mistreated, broker_server: KafkaServer, tmp_path: Path) -> Settings:
    prefix = f"t{secrets.token_hex(4)}."
    create_topics(broker_server.bootstrap, dict.fromkeys(topics_of_ingest(prefix), 3))
    return settings_for(broker_server.bootstrap, prefix, tmp_path / "home")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to wait five seconds for `/readyz`."""
    monkeypatch.setattr(watch, "PERIOD_SECONDS", 0.5)


async def test_a_killed_broker_is_503_until_it_is_back_which_is_seen_though_nobody_posts(
    broker: Mistreated, settings: Settings
) -> None:
    async with running(settings) as client:
        assert (await client.post("/v1/events", json=an_event(event_id="before"))).status_code == 202
        assert await is_ready(client)

        broker.kill()
        await eventually(lambda: is_unready(client), RECOVERY_SECONDS)
        refused = await client.post("/v1/events", json=an_event(event_id="during"))
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.json()["event_id"] == "during"
        batch = await client.post("/v1/events/batch", json={"events": [an_event(event_id="during"), {}]})
        assert batch.status_code == 503
        assert [result["status"] for result in batch.json()["results"]] == ["retry", "invalid"]
        assert (await client.get("/livez")).status_code == 200

        await broker.start()
        await eventually(lambda: is_ready(client), RECOVERY_SECONDS)
        await eventually(lambda: is_accepted(client, an_event(event_id="during")), RECOVERY_SECONDS)
    assert {"before", "during"} == set(ids(read(settings)))


async def test_a_frozen_broker_is_an_unknown_state_not_a_202(broker: Mistreated, settings: Settings) -> None:
    async with running(settings) as client:
        assert await is_accepted(client, an_event(event_id="before"))
        broker.freeze()
        refused = await client.post("/v1/events", json=an_event(event_id="during"))
        broker.thaw()
        assert refused.status_code == 503
        assert "not known" in refused.json()["detail"]
        await eventually(lambda: is_accepted(client, an_event(event_id="during")), RECOVERY_SECONDS)
    stored = read(settings)
    assert set(ids(stored)) == {"before", "during"}
    assert len({record.headers["ce_bodyhash"] for record in stored if record.headers["ce_id"] == b"during"}) == 1


async def test_kafka_away_at_start_is_no_reason_not_to_start(broker: Mistreated, settings: Settings) -> None:
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
