"""Servers that tests may kill and freeze: shared, since a broker takes its time to start."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from funnel.embedded.kafka import KafkaServer
from funnel.embedded.ports import free_port
from funnel.embedded.postgres import PostgresServer
from funnel.postgres.migrate import migrate
from tests.support.mistreated import Mistreated


@pytest.fixture(scope="session")
def broker_server(tmp_path_factory: pytest.TempPathFactory) -> KafkaServer:
    """Where the mistreated broker is; topics need prefixes of their own."""
    return KafkaServer(tmp_path_factory.mktemp("broker") / "kafka", free_port())


@pytest.fixture(scope="session")
def _broker(broker_server: KafkaServer) -> Iterator[Mistreated]:
    broker = Mistreated(broker_server, broker_server.folder.with_suffix(".log"))
    yield broker
    broker.stop()


@pytest.fixture
async def broker(_broker: Mistreated) -> Mistreated:
    """A broker to be killed and frozen, whose life goes on; running when the test begins."""
    await _broker.start()
    return _broker


@pytest.fixture(scope="session")
def _postgres() -> Iterator[tuple[Mistreated, PostgresServer]]:
    # Not under pytest's folder: another run shuts that to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="funnel-tests-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder) / "postgres")
        postgres = Mistreated(server, server.folder.with_suffix(".log"))
        yield postgres, server
        postgres.stop()


@pytest.fixture
async def postgres(_postgres: tuple[Mistreated, PostgresServer]) -> AsyncIterator[tuple[Mistreated, str]]:
    """A Postgres to be killed, frozen and set up badly, and its DSN: the ingest service's tables, empty."""
    own, server = _postgres
    await own.start()
    server.ensure_database()
    await asyncio.to_thread(migrate, server.dsn, ["ingest"])
    yield own, server.dsn
    await own.start()  # whatever the test did to it
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM RESET ALL")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("DROP SCHEMA ingest CASCADE")
