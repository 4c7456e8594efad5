"""Kafka and PostgreSQL for the length of a `with` block, in a folder of their own: for tests and experiments."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from funnel.embedded.errors import StackError
from funnel.embedded.kafka import KafkaServer
from funnel.embedded.ports import free_port
from funnel.embedded.postgres import PostgresServer
from funnel.embedded.process import Child

# A cold machine under load takes a few seconds; a server that has not answered by then never will.
START_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the two running servers are."""

    kafka_bootstrap: str
    postgres_dsn: str


@contextmanager
def running(folder: Path, report: Callable[[str], None]) -> Iterator[Servers]:
    """Start both on free ports with their data in `folder`; they are stopped with the block, or with this process.

    Raises `StackError` when one does not come up.
    """
    kafka, postgres = KafkaServer(folder / "kafka", free_port()), PostgresServer(folder / "postgres")
    with ExitStack() as started:
        waits = []
        for server, program in ((postgres, postgres.prepare(report)), (kafka, kafka.prepare(report))):
            child = Child.start(program, folder / "logs" / f"{program.name}.log", ends_with_us=True)
            started.callback(child.stop)
            waits.append((server.answers, child))
        for answers, child in waits:
            wait_for(answers, child)
        postgres.ensure_database()
        yield Servers(kafka.bootstrap, postgres.dsn)


def wait_for(answers: Callable[[], bool], child: Child) -> None:
    """Wait until a server answers. Raises `StackError` with its last words when it ended, or when it is too slow."""
    name, deadline = child.program.name, time.monotonic() + START_SECONDS
    while not answers():
        if not child.running():
            raise StackError(f"{name} stopped at its start, {child.why_ended()}")
        if time.monotonic() > deadline:
            raise StackError(f"{name} does not answer after {START_SECONDS:.0f} s; see {child.log}.")
        time.sleep(_POLL_SECONDS)
