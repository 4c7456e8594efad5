"""Fixtures on one real Kafka and one real PostgreSQL per run; every test has a database and topics of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import hypothesis
import pytest

from funnel.embedded import servers as embedded
from funnel.embedded.ports import free_port
from funnel.embedded.servers import Servers
from funnel.settings import Settings
from tests.support.databases import new_database
from tests.support.kafka import delete_topics

PARTITIONS = 3

# A shell that starts the suite in the background makes it, and so every process it starts, deaf to Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# Never a time limit in a test: a slow machine is not a wrong answer.
hypothesis.settings.register_profile("funnel", deadline=None, print_blob=True)
hypothesis.settings.load_profile("funnel")

_NAMED_SERVERS = pytest.StashKey[Servers | None]()


def pytest_configure(config: pytest.Config) -> None:
    """Take the product's variables out of the environment: no test may depend on how the shell is set up."""
    if config.getoption("numprocesses", None):
        return  # this process runs no test: the workers it starts come here too
    told = {name: os.environ.pop(name) for name in list(os.environ) if _is_ours(name)}
    bootstrap, dsn = told.get("FUNNEL_KAFKA_BOOTSTRAP"), told.get("FUNNEL_POSTGRES_DSN")
    config.stash[_NAMED_SERVERS] = Servers(bootstrap, dsn) if bootstrap and dsn else None


def _is_ours(variable: str) -> bool:
    return variable.startswith("FUNNEL_") and not variable.startswith("FUNNEL_TEST_")


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Iterator[Servers]:
    """The servers named by FUNNEL_KAFKA_BOOTSTRAP and FUNNEL_POSTGRES_DSN, else new ones for this run."""
    named = pytestconfig.stash[_NAMED_SERVERS]
    if named is not None:
        yield named
        return
    folder = Path(tempfile.mkdtemp(prefix="funnel-tests-"))
    try:
        with embedded.running(folder, lambda _: None) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(servers: Servers) -> Iterator[str]:
    """Name of a database holding every migration and no row."""
    from funnel.postgres.migrate import migrate

    with new_database(servers.postgres_dsn, "template") as dsn:
        migrate(dsn)
        yield urlsplit(dsn).path.removeprefix("/")


@pytest.fixture
def database_dsn(servers: Servers, template_database: str) -> Iterator[str]:
    """A migrated, empty database for this test alone."""
    with new_database(servers.postgres_dsn, "test", template_database) as dsn:
        yield dsn


@pytest.fixture
def kafka_bootstrap(servers: Servers) -> str:
    """host:port of the real broker."""
    return servers.kafka_bootstrap


@pytest.fixture
def topic_prefix(kafka_bootstrap: str) -> Iterator[str]:
    """A prefix no other test uses; every topic under it is deleted afterwards."""
    prefix = f"t{secrets.token_hex(4)}."
    yield prefix
    delete_topics(kafka_bootstrap, prefix)


@pytest.fixture
def topics(kafka_bootstrap: str, topic_prefix: str) -> str:
    """The product's topics under `topic_prefix`, with 3 partitions each; the value is the prefix."""
    from funnel.topics import ensure_topics

    with ThreadPoolExecutor(1) as thread:  # an asynchronous test has an event loop of its own in this one
        wanted = ensure_topics(kafka_bootstrap, prefix=topic_prefix, partitions=PARTITIONS, environment="embedded")
        thread.submit(asyncio.run, wanted).result()
    return topic_prefix


@pytest.fixture
def settings(kafka_bootstrap: str, database_dsn: str, topics: str, tmp_path: Path) -> Settings:
    """Settings of a stack of this test's own: its database, its topics, free ports, an empty home."""
    return Settings(
        home=tmp_path / "home",
        kafka_bootstrap=kafka_bootstrap,
        postgres_dsn=database_dsn,
        topic_prefix=topics,
        ingest_port=free_port(),
        scoring_port=free_port(),
        routing_port=free_port(),
        metrics_port=free_port(),
        waive_replication=True,
        key_secret="a secret of the tests",
    )
