"""The Kafka and the Postgres that are measured: the bench's own, or those that FUNNEL_* variables name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
import psycopg

from bench.errors import BenchError
from funnel.embedded import servers as embedded
from funnel.embedded.home import Home
from funnel.settings import Settings

POSTGRES, BROKER = "postgres", "broker"
"""What their share of the costs is called."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Two running servers. Their processes are None where they cannot be seen from here."""

    kafka_bootstrap: str
    postgres_dsn: str
    own: bool
    kafka: psutil.Process | None
    postgres: psutil.Process | None


@contextmanager
def running(settings: Settings, home: Home, report: Callable[[str], None]) -> Iterator[Servers]:
    """The servers that `settings` name, else new ones with empty data in `home`, stopped and removed afterwards.

    Raises BenchError when only one is named, StackError when one does not start.
    """
    if bool(settings.kafka_bootstrap) != bool(settings.postgres_dsn):
        raise BenchError("Set both FUNNEL_KAFKA_BOOTSTRAP and FUNNEL_POSTGRES_DSN, or neither.")
    if settings.kafka_bootstrap:
        yield seen(settings.kafka_bootstrap, settings.postgres_dsn, own=False)
        return
    try:
        report("starting Kafka and PostgreSQL")
        with embedded.running(home.path, report) as started:
            yield seen(started.kafka_bootstrap, started.postgres_dsn, own=True)
            report("stopping Kafka and PostgreSQL")
    finally:
        for folder in (home.kafka, home.postgres):
            shutil.rmtree(folder, ignore_errors=True)


def seen(kafka_bootstrap: str, postgres_dsn: str, *, own: bool) -> Servers:
    """Servers at these addresses, with their processes where they run on this machine."""
    return Servers(kafka_bootstrap, postgres_dsn, own, _listener(kafka_bootstrap), _postmaster(postgres_dsn))


def _listener(bootstrap: str) -> psutil.Process | None:
    """The process on this machine that listens where the broker does."""
    host, _, port = bootstrap.partition(",")[0].rpartition(":")
    if host not in ("127.0.0.1", "localhost"):
        return None
    with suppress(psutil.AccessDenied):
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.pid and one.laddr and str(one.laddr.port) == port:
                return psutil.Process(one.pid)
    return None


def _postmaster(dsn: str) -> psutil.Process | None:
    """The parent of the process that serves a connection, if it is a Postgres of this machine."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        pid = int(row[0]) if row else 0
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid).parent()
            return parent if parent is not None and parent.name() == "postgres" else None
    return None
