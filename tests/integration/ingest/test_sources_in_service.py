"""Keys at the doors of running ingest processes that others could reach: on real Kafka and PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from funnel.embedded.ports import free_port
from funnel.settings import Settings
from tests.integration.ingest.service import client_of, ids, process, read
from tests.support.eventually import eventually
from tests.support.serving import answers

TOKEN = "a token of the tests"
AS_ADMIN = {"authorization": f"Bearer {TOKEN}"}
KEYS_REQUIRED = {"FUNNEL_REQUIRE_KEYS": "true", "FUNNEL_ADMIN_TOKEN": TOKEN}
EVENT = {"type": "form.submitted", "identity": {"email": "jane@example.com"}}

MAPPING = """\
name: fair
kind: events
mode: history
dates: ["%Y-%m-%d"]
id: no
constants: {type: form.submitted}
columns: {no: properties.badge, day: occurred_at, mail: identity.email}
"""
SHEET = "no,day,mail\n1,2026-03-01,jane@example.com\n2,2026-03-02,john@example.com\n"


@pytest.fixture
def settings(settings: Settings, database_dsn: str) -> Settings:
    return settings.model_copy(update={"postgres_dsn": database_dsn, "admin_token": TOKEN})


@pytest.fixture
def two(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Settings]]:
    """Two ingest processes on the same servers."""
    for name, value in KEYS_REQUIRED.items():
        monkeypatch.setenv(name, value)
    both = [settings, settings.model_copy(update={"ingest_port": free_port()})]
    with ExitStack() as started:
        for one in both:
            started.enter_context(process(one))
        yield both


@pytest.fixture
async def clients(two: list[Settings]) -> AsyncIterator[list[httpx.AsyncClient]]:
    here, there = map(client_of, two)
    async with here, there:
        await eventually(lambda: answers(here))
        await eventually(lambda: answers(there))
        yield [here, there]


async def post(client: httpx.AsyncClient, key: str, **more: Any) -> httpx.Response:
    return await client.post("/v1/events", json=EVENT, headers={"authorization": f"Bearer {key}"}, **more)


async def status(client: httpx.AsyncClient, key: str) -> int:
    return (await post(client, key)).status_code


async def add(client: httpx.AsyncClient, name: str, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/sources", json={"name": name, **fields}, headers=AS_ADMIN)
    assert answer.status_code == 201, answer.text
    added: dict[str, Any] = answer.json()
    return added


async def test_a_key_made_in_one_process_opens_the_other_until_it_is_revoked(
    two: list[Settings], clients: list[httpx.AsyncClient]
) -> None:
    here, there = clients
    refused = await here.post("/v1/events", json=EVENT)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")

    added = await add(here, "shop")
    key = added["secret_key"]
    assert await status(here, key) == 202
    await eventually(lambda: _is(there, key, 202))
    assert {record.headers["ce_source"] for record in read(two[0])} == {b"shop"}

    (secret,) = (one["id"] for one in added["keys"] if one["kind"] == "secret")
    assert (await here.delete(f"/v1/sources/shop/keys/{secret}", headers=AS_ADMIN)).status_code == 200
    assert await status(here, key) == 401
    await eventually(lambda: _is(there, key, 401), deadline=10.0)
    stored = len(read(two[0]))
    assert await status(there, key) == 401
    assert len(read(two[0])) == stored


async def _is(client: httpx.AsyncClient, key: str, expected: int) -> bool:
    return await status(client, key) == expected


async def test_an_import_posts_with_its_key_and_only_as_its_source(
    two: list[Settings], clients: list[httpx.AsyncClient], tmp_path: Path
) -> None:
    right, wrong = await add(clients[0], "fair"), await add(clients[0], "shop")
    (tmp_path / "fair.yaml").write_text(MAPPING, encoding="utf-8")
    (tmp_path / "fair.csv").write_text(SHEET, encoding="utf-8")

    for key, sentence in (
        ("", "A key is needed here"),
        ("fsk_unknown", "not known here"),
        (right["write_key"], "need a secret key"),
        (wrong["secret_key"], "source must be absent or shop"),
    ):
        refused = await run_import(two[0], tmp_path, key)
        assert refused.returncode == 1
        assert sentence in refused.stderr
        assert not key or key not in refused.stdout + refused.stderr
    assert read(two[0]) == []

    done = await run_import(two[0], tmp_path, right["secret_key"])
    assert done.returncode == 0, done.stderr
    assert sorted(ids(read(two[0]))) == ["1", "2"]


async def run_import(settings: Settings, folder: Path, key: str) -> subprocess.CompletedProcess[str]:
    told = {
        "FUNNEL_HOME": str(settings.home),
        "FUNNEL_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "FUNNEL_POSTGRES_DSN": settings.postgres_dsn,
        "FUNNEL_INGEST_PORT": str(settings.ingest_port),
        "FUNNEL_INGEST_KEY": key,
        "COLUMNS": "200",
    }
    command = [sys.executable, "-c", "from funnel.cli import main; main()", "import"]
    words = [str(folder / "fair.csv"), "--mapping", str(folder / "fair.yaml")]
    return await asyncio.to_thread(
        subprocess.run, command + words, env=os.environ | told, capture_output=True, text=True, check=False
    )
