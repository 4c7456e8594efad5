"""Where one run takes place: an empty database, topics of its own, an empty home; nothing of it stays."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from bench.records import delete_topics
from bench.servers import Servers
from funnel.embedded.ports import free_port
from funnel.settings import Settings
from funnel.topics import ensure_topics


@dataclass(frozen=True, slots=True)
class Ground:
    """A run's own part of the servers. `settings` lead every process of the run there."""

    servers: Servers
    settings: Settings

    @property
    def home(self) -> Path:
        return self.settings.home

    def topic(self, name: str) -> str:
        """The full name of a topic of this run."""
        return self.settings.topic_prefix + name

    def environment(self) -> dict[str, str]:
        """The `FUNNEL_*` variables of a process, whatever the caller's own say."""
        told = self.settings.model_dump(exclude={"replica"})
        return {f"FUNNEL_{name.upper()}": "" if value is None else str(value) for name, value in told.items()}

    def create_topics(self) -> None:
        """The product's topics, as their files declare them."""
        asyncio.run(
            ensure_topics(self.settings.kafka_bootstrap, prefix=self.settings.topic_prefix, environment="embedded")
        )

    def settle(self) -> None:
        """Write out what earlier runs left in Postgres' buffers, so that no run pays for another."""
        with psycopg.connect(self.settings.postgres_dsn, autocommit=True) as connection:
            connection.execute("CHECKPOINT")


@contextmanager
def ground(servers: Servers, parent: Path) -> Iterator[Ground]:
    """A new ground; its home is made in `parent`. Everything is removed afterwards."""
    name = f"bench_{secrets.token_hex(5)}"
    home = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    settings = Settings(
        home=home,
        kafka_bootstrap=servers.kafka_bootstrap,
        postgres_dsn=_with_database(servers.postgres_dsn, name),
        topic_prefix=f"{name}.",
        waive_replication=True,
        key_secret="of the bench",
        log_level="WARNING",
        ingest_port=free_port(),
        scoring_port=free_port(),
        routing_port=free_port(),
        metrics_port=free_port(),
    )
    identifier = sql.Identifier(name)
    try:
        with psycopg.connect(servers.postgres_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(identifier))
        yield Ground(servers, settings)
    finally:
        with psycopg.connect(servers.postgres_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
        delete_topics(servers.kafka_bootstrap, settings.topic_prefix)
        shutil.rmtree(home, ignore_errors=True)


def _with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
