"""Over HTTP, with Kafka or Postgres mistreated: what is answered, and that what was answered with 202 arrives."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from funnel.embedded.kafka import KafkaServer
from funnel.postgres import Database
from funnel.settings import Settings
from services.ingest import watch
from services.ingest.domain import limits
from tests.integration.ingest.conftest import NOBODY_LISTENS, settings_for, topics_of_ingest
from tests.integration.ingest.service import client_of, ids, is_ready, process, read, running, value
from tests.support import eventually
from tests.support.kafka import create_topics
from tests.support.mistreated import Mistreated
from tests.support.serving import answers
from tests.support.spools import claims_run_out, rows
from tests.unit.ingest.given import an_event, an_outcome

# A server that was killed comes back in ten seconds, on a busy machine in far more.
RECOVERY_SECONDS = 120.0


@pytest.fixture
def settings(broker: Mistreated, broker_server: KafkaServer, database_dsn: str, tmp_path: Path) -> Settings:
    prefix = f"t{secrets.token_hex(4)}."
    create_topics(broker_server.bootstrap, dict.fromkeys(topics_of_ingest(prefix), 3))
    settings = settings_for(broker_server.bootstrap, prefix, tmp_path / "home")
    return settings.model_copy(update={"postgres_dsn": database_dsn})


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to wait five seconds for `/readyz`."""
    monkeypatch.setattr(watch, "PERIOD_SECONDS", 0.5)


async def post(client: httpx.AsyncClient, event_id: str) -> dict[str, Any]:
    """What is told of an event that is taken."""
    response = await client.post("/v1/events", json=an_event(event_id=event_id))
    assert response.status_code == 202, response.text
    told: dict[str, Any] = response.json()
    return told


def in_the_log(name: str) -> dict[str, Any]:
    return {"event_id": name, "status": "accepted"}


def in_the_spool(name: str) -> dict[str, Any]:
    return {"event_id": name, "status": "accepted", "spooled": True}


async def series(client: httpx.AsyncClient) -> dict[str, float]:
    lines = (await client.get("/metrics")).text.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith("funnel_ingest_spool")}


async def test_while_kafka_is_away_everything_is_taken_and_when_it_is_back_it_is_all_there(
    broker: Mistreated, settings: Settings
) -> None:
    async with running(settings) as client:
        assert await post(client, "before") == in_the_log("before")
        broker.kill()
        for number in range(20):
            assert await post(client, f"e-{number}") == in_the_spool(f"e-{number}")
        batch = await client.post("/v1/events/batch", json={"events": [an_event(event_id="b-1"), {}]})
        assert [one.get("spooled") for one in batch.json()["results"]] == [True, None]
        assert (await client.post("/v1/outcomes", json=an_outcome(event_id="o-1"))).json()["spooled"] is True
        assert rows(settings) == 22

        ready = await client.get("/readyz")
        assert ready.status_code == 200
        await eventually(lambda: told_degraded(client, "kafka"))
        await eventually(lambda: told_spooled(client, 22))

        await broker.start()
        await eventually(lambda: rows(settings) == 0, RECOVERY_SECONDS)
        assert await post(client, "after") == in_the_log("after")
        await eventually(lambda: told_spooled(client, 0))
    names = {"before", "after", "b-1", *(f"e-{number}" for number in range(20))}
    # Nothing was sent before it was spooled, but the first, for which nobody knew that Kafka was away.
    assert Counter(ids(read(settings))) - Counter(["e-0"]) in (Counter(names), Counter(names - {"e-0"}))
    assert ids(read(settings, "lead-outcomes")) == ["o-1"]


async def told_degraded(client: httpx.AsyncClient, name: str) -> bool:
    return name in (await client.get("/readyz")).json().get("degraded", {})


async def told_spooled(client: httpx.AsyncClient, rows: int) -> bool:
    found = await series(client)
    assert found["funnel_ingest_spool_rows"] == rows
    assert (found["funnel_ingest_spool_seconds"] > 0) == (rows > 0)
    return True


async def test_a_frozen_kafka_is_waited_for_once_and_a_record_in_both_places_is_the_same(
    broker: Mistreated, settings: Settings
) -> None:
    async with running(settings) as client:
        assert await post(client, "before") == in_the_log("before")
        broker.freeze()
        for number in range(3):
            assert await post(client, f"e-{number}") == in_the_spool(f"e-{number}")
        broker.thaw()
        await eventually(lambda: rows(settings) == 0, RECOVERY_SECONDS)
    found = read(settings)
    assert set(ids(found)) == {"before", "e-0", "e-1", "e-2"}
    assert len({(one.headers["ce_id"], one.value, tuple(one.headers.items())) for one in found}) == 4


async def test_what_processes_leave_in_the_spool_one_that_starts_without_kafka_publishes_with_its_own(
    broker: Mistreated, settings: Settings
) -> None:
    broker.kill()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with process(settings) as ingest:
            async with client_of(settings) as client:
                await eventually(lambda: answers(client))
                for name in ("a", "b", "c"):
                    event_id = f"{name}-{number.name}"
                    assert await post(client, event_id) == in_the_spool(event_id)
            ingest.send_signal(number)
            code = await asyncio.to_thread(ingest.wait)
        assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    claims_run_out(settings)
    async with running(settings) as client:
        assert await is_ready(client)
        assert await post(client, "early") == in_the_spool("early")
        await broker.start()
        await eventually(lambda: rows(settings) == 0, RECOVERY_SECONDS)
        assert await post(client, "late") == in_the_log("late")
    left = {f"{name}-{number}" for name in ("a", "b", "c") for number in ("SIGTERM", "SIGKILL")}
    assert set(ids(read(settings))) == {*left, "early", "late"}
    # What the killed one had counted, nobody can tell.
    assert sum(value(receipt)["events"] for receipt in read(settings, "ingest-receipts")) == 5


async def test_postgres_away_is_no_reason_to_refuse_anything(broker: Mistreated, settings: Settings) -> None:
    async with running(settings.model_copy(update={"postgres_dsn": NOBODY_LISTENS})) as client:
        assert await is_ready(client)
        assert await told_degraded(client, "postgres")
        assert await post(client, "e-1") == in_the_log("e-1")
        keyed = await client.post("/v1/events", json=an_event(), headers={"idempotency-key": "k-1"})
        assert keyed.status_code == 202


async def test_postgres_leaves_and_comes_back_while_kafka_is_away(
    broker: Mistreated, settings: Settings, postgres: tuple[Mistreated, str]
) -> None:
    own, dsn = postgres
    settings = settings.model_copy(update={"postgres_dsn": dsn})
    async with running(settings) as client:
        own.kill()
        assert await post(client, "without-postgres") == in_the_log("without-postgres")
        broker.kill()
        await eventually(lambda: is_refused(client), RECOVERY_SECONDS)
        await eventually(lambda: is_unready(client), RECOVERY_SECONDS)
        assert (await client.get("/livez")).status_code == 200

        await own.start()
        await eventually(lambda: is_taken(client, "in-the-spool"), RECOVERY_SECONDS)
        await eventually(lambda: is_ready(client), RECOVERY_SECONDS)
        own.kill()
        await eventually(lambda: is_refused(client), RECOVERY_SECONDS)
        await eventually(lambda: is_unready(client), RECOVERY_SECONDS)
        await broker.start()
        await eventually(lambda: is_ready(client), RECOVERY_SECONDS)  # for which nobody has to post
        await eventually(lambda: is_taken(client, "in-the-log"), RECOVERY_SECONDS)
        await own.start()
        await eventually(lambda: rows(settings) == 0, RECOVERY_SECONDS)
    assert set(ids(read(settings))) >= {"without-postgres", "in-the-spool", "in-the-log"}


async def test_both_frozen_is_an_answer_all_the_same(
    broker: Mistreated, settings: Settings, postgres: tuple[Mistreated, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SPOOL_SECONDS_MAX", 1.0)
    own, dsn = postgres
    async with running(settings.model_copy(update={"postgres_dsn": dsn})) as client:
        assert await post(client, "before") == in_the_log("before")
        broker.freeze()
        own.freeze()
        for _ in range(2):
            assert await is_refused(client)
        own.thaw()
        await eventually(lambda: is_taken(client, "e-1"), RECOVERY_SECONDS)
        broker.thaw()
        await eventually(lambda: is_published(settings, "e-1"), RECOVERY_SECONDS)


async def test_a_frozen_postgres_keeps_nobody_from_ending(postgres: tuple[Mistreated, str]) -> None:
    own, dsn = postgres
    database = Database.lazy(dsn, schema="ingest", application_name="test")
    async with database.transaction(), database.transaction():
        pass
    own.freeze()
    await database.close()


async def is_refused(client: httpx.AsyncClient) -> bool:
    """Refused for want of a server, with what a sender needs to know."""
    response = await client.post("/v1/events", json=an_event(event_id="refused"))
    if response.status_code == 202:
        return False
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert response.json()["event_id"] == "refused"
    return True


async def is_unready(client: httpx.AsyncClient) -> bool:
    return not await is_ready(client)


async def is_taken(client: httpx.AsyncClient, event_id: str) -> bool:
    return (await client.post("/v1/events", json=an_event(event_id=event_id))).status_code == 202


async def is_published(settings: Settings, event_id: str) -> bool:
    return event_id in ids(await asyncio.to_thread(read, settings))


async def test_a_postgres_whose_202_would_be_a_lie_is_refused_at_the_start(
    broker: Mistreated, settings: Settings, postgres: tuple[Mistreated, str]
) -> None:
    _, dsn = postgres
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    with process(settings.model_copy(update={"postgres_dsn": dsn})) as ingest:
        _, said = await asyncio.to_thread(ingest.communicate)
    assert ingest.returncode == 1
    assert b"Postgres runs with fsync = off" in said


async def test_a_postgres_that_becomes_unsafe_takes_nothing_more_and_kafka_goes_on(
    broker: Mistreated, settings: Settings, postgres: tuple[Mistreated, str]
) -> None:
    _, dsn = postgres
    settings = settings.model_copy(update={"postgres_dsn": dsn})
    async with running(settings) as client:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        await eventually(lambda: told_degraded(client, "postgres"))
        assert await post(client, "e-1") == in_the_log("e-1")
        broker.freeze()
        assert await is_refused(client)
        assert rows(settings) == 0
        broker.thaw()
