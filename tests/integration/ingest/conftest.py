"""Settings of an ingest of the test's own: real Kafka, and no Postgres at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from funnel.embedded.ports import free_port
from funnel.settings import Settings
from funnel.topics import topics as topics_by_name
from tests.integration.ingest.service import running

NOBODY_LISTENS = "postgresql://nobody@127.0.0.1:1/nothing"


def settings_for(bootstrap: str, prefix: str, home: Path) -> Settings:
    return Settings(
        home=home,
        kafka_bootstrap=bootstrap,
        postgres_dsn=NOBODY_LISTENS,
        topic_prefix=prefix,
        ingest_port=free_port(),
        waive_replication=True,
        key_secret="a secret of the tests",
    )


def topics_of_ingest(prefix: str) -> list[str]:
    """Full names of the topics ingest writes."""
    return [prefix + name for name, topic in topics_by_name().items() if "ingest" in topic.producers]


@pytest.fixture
def settings(kafka_bootstrap: str, topics: str, tmp_path: Path) -> Settings:
    return settings_for(kafka_bootstrap, topics, tmp_path)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings) as client:
        yield client
