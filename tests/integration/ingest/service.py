"""The ingest service at work, in this process or as one of its own, and what it left on its topics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx

from funnel.settings import Settings
from services.ingest.app import build
from tests.support.kafka import Record, read_all
from tests.support.serving import TIMEOUT_SECONDS, serving


def client_of(settings: Settings) -> httpx.AsyncClient:
    """An HTTP client for the service that `settings` describe."""
    return httpx.AsyncClient(base_url=settings.url_of("ingest"), timeout=TIMEOUT_SECONDS)


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def is_accepted(client: httpx.AsyncClient, event: dict[str, Any]) -> bool:
    return (await client.post("/v1/events", json=event)).status_code == 202


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The service in this process, built and served as its `__main__` does; stopped cleanly afterwards."""
    async with build(settings) as application, serving(application) as client:
        yield client


@contextmanager
def process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m services.ingest`; killed at the end if it still runs."""
    environment = {
        **os.environ,
        "FUNNEL_HOME": str(settings.home),
        "FUNNEL_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "FUNNEL_POSTGRES_DSN": settings.postgres_dsn,
        "FUNNEL_TOPIC_PREFIX": settings.topic_prefix,
        "FUNNEL_INGEST_PORT": str(settings.ingest_port),
        "FUNNEL_WAIVE_REPLICATION": str(settings.waive_replication),
        "FUNNEL_KEY_SECRET": settings.key_secret,
    }
    started = subprocess.Popen([sys.executable, "-m", "services.ingest"], env=environment, stderr=subprocess.PIPE)
    with started:
        try:
            yield started
        finally:
            started.kill()


def read(settings: Settings, topic: str = "lead-events") -> list[Record]:
    """Everything on a topic, by a client that is not ours."""
    return read_all(settings.kafka_bootstrap, settings.topic_prefix + topic)


def ids(records: list[Record]) -> list[str]:
    return [record.headers["ce_id"].decode() for record in records]


def value(record: Record) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(record.value or b"")
    return decoded
