"""An ingest process with a database, topics and a log of its own, for all tests of a module together."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from funnel.embedded.servers import Servers
from funnel.settings import Settings
from funnel.topics import ensure_topics
from tests.integration.ingest.conftest import settings_for
from tests.support.databases import new_database
from tests.support.kafka import delete_topics

ADMIN_TOKEN = "admin-token-of-the-tests"
PARTITIONS = 3

# Bounds a hang, says nothing of speed.
_START_SECONDS = 60.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Apart:
    """The process and where it lives."""

    settings: Settings
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def port(self) -> int:
        return self.settings.ingest_port

    @property
    def url(self) -> str:
        return self.settings.url_of("ingest")

    @property
    def log(self) -> str:
        """Everything it has written to stdout and stderr."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def complaints(self) -> list[str]:
        """The lines of the log that are no ordinary news: from warnings up, and whatever is not ours."""
        return [line for line in self.log.splitlines() if _level(line) not in ("debug", "info")]

    def new_source(self, name: str, **fields: Any) -> dict[str, Any]:
        """Adds a source; the answer has its `write_key` and `secret_key`."""
        headers = {"Authorization": f"Bearer {self.settings.admin_token}"}
        answer = httpx.post(f"{self.url}/v1/sources", json={"name": name, **fields}, headers=headers)
        assert answer.status_code == 201, answer.text
        added: dict[str, Any] = answer.json()
        return added


def _level(line: str) -> str:
    try:
        return str(json.loads(line).get("level"))
    except (ValueError, AttributeError):
        return "unknown"


@contextmanager
def ingest_apart(servers: Servers, template_database: str, folder: Path, **environment: str) -> Iterator[Apart]:
    """`python -m services.ingest`, ready, on the real servers; `environment` are further FUNNEL_* variables."""
    prefix = f"t{secrets.token_hex(4)}."
    with new_database(servers.postgres_dsn, "apart", template_database) as dsn:
        settings = settings_for(servers.kafka_bootstrap, prefix, folder / "home").model_copy(
            update={"postgres_dsn": dsn, "admin_token": ADMIN_TOKEN}
        )
        make_topics(settings)
        try:
            with started(settings, folder / "ingest.log", **environment) as apart:
                yield apart
        finally:
            delete_topics(servers.kafka_bootstrap, prefix)


@contextmanager
def started(settings: Settings, log_file: Path, **environment: str) -> Iterator[Apart]:
    """`python -m services.ingest` with `settings`, once it is ready; killed at the end if it still runs."""
    told = {
        "HOME": str(settings.home),
        "KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "POSTGRES_DSN": settings.postgres_dsn,
        "TOPIC_PREFIX": settings.topic_prefix,
        "INGEST_PORT": str(settings.ingest_port),
        "WAIVE_REPLICATION": str(settings.waive_replication),
        "KEY_SECRET": settings.key_secret,
        "ADMIN_TOKEN": settings.admin_token,
        **environment,
    }
    variables = {f"FUNNEL_{name}": value for name, value in told.items()}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.ingest"],
            env={**os.environ, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    with process:
        apart = Apart(settings, process, log_file)
        try:
            _wait_until_ready(apart)
            yield apart
        finally:
            process.kill()


def make_topics(settings: Settings) -> None:
    """Make the product's topics under the prefix of `settings`."""
    wanted = ensure_topics(
        settings.kafka_bootstrap, prefix=settings.topic_prefix, partitions=PARTITIONS, environment="embedded"
    )
    with ThreadPoolExecutor(1) as thread:  # the test may have an event loop of its own in this one
        thread.submit(asyncio.run, wanted).result()


def _wait_until_ready(apart: Apart) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while not _is_ready(apart.url):
        assert apart.is_running, apart.log
        assert time.monotonic() < give_up, apart.log
        time.sleep(_POLL_SECONDS)


def _is_ready(url: str) -> bool:
    try:
        answer = httpx.get(f"{url}/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 200 and not answer.json().get("degraded")
