"""Brokers of a test's own: to be frozen, killed, or joined by a second one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from funnel.embedded import kafka as embedded
from funnel.embedded.jars import ensure_jars
from funnel.embedded.kafka import KafkaServer
from funnel.embedded.ports import free_port
from funnel.embedded.process import Child, Program, run_tool

_START_SECONDS = 90.0


def quiet(_: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Broker:
    """A running broker process."""

    bootstrap: str
    process: Child


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """A broker and controller of its own in `folder`, ended afterwards."""
    server = KafkaServer(folder, free_port())
    child = Child.start(server.prepare(quiet), folder.with_suffix(".log"), ends_with_us=True)
    try:
        _await_answer(server, child)
        yield Broker(server.bootstrap, child)
    finally:
        child.stop()


@contextmanager
def second_broker(first: Path, folder: Path) -> Iterator[Broker]:
    """Broker 2, without a controller, in the cluster of the one whose data is in `first`."""
    port = free_port()
    settings = dict(
        line.split("=", 1) for line in (first / "server.properties").read_text().splitlines() if "=" in line
    )
    settings |= {
        "process.roles": "broker",
        "node.id": "2",
        "listeners": f"CLIENT://127.0.0.1:{port}",
        "advertised.listeners": f"CLIENT://127.0.0.1:{port}",
        "log.dirs": str(folder / "data"),
    }
    folder.mkdir()
    properties = folder / "server.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    meta = (first / "data" / "meta.properties").read_text()
    cluster = next(line.split("=", 1)[1] for line in meta.splitlines() if line.startswith("cluster.id="))
    run = embedded.java_command(":".join(map(str, ensure_jars(quiet))), ["-Xmx256m"])
    format_storage = ("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties))
    run_tool(Program("format", (*run, *format_storage)), "formatting", folder)
    child = Child.start(
        Program("kafka-2", (*run, "kafka.Kafka", str(properties))), folder.with_suffix(".log"), ends_with_us=True
    )
    try:
        _await_answer(KafkaServer(folder, port), child)
        yield Broker(f"127.0.0.1:{port}", child)
    finally:
        child.stop()


def _await_answer(server: KafkaServer, child: Child) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while not server.answers():
        assert child.running(), child.why_ended()
        assert time.monotonic() < give_up, "the broker did not start"
        time.sleep(0.1)
