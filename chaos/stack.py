"""The command `funnel` used from outside, as a person would, on a home and on ports of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from funnel.embedded import orphans, state
from funnel.embedded.home import Home
from funnel.embedded.ports import free_port
from funnel.settings import Settings

# Ends a test that hangs; no statement about speed.
_HANGS_AFTER_S = 180


class StackUnderTest:
    """One home. `environment` holds the FUNNEL_* variables of every command."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = Home.at(home)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("FUNNEL_")}
        self.environment = {**ours, "COLUMNS": "200", **environment, "FUNNEL_HOME": str(self.home.path)}

    def funnel(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. `more` are variables for this one command."""
        return subprocess.run(
            [*_FUNNEL, *arguments],
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=_HANGS_AFTER_S,
            check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that does not end by itself."""
        return subprocess.Popen(
            [*_FUNNEL, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def status(self) -> dict[str, dict[str, Any]]:
        """What `funnel status --json` says about each process, by name."""
        told = json.loads(self.funnel("status", "--json").stdout)
        return {process["name"]: process for process in told["processes"]}

    def pids(self) -> dict[str, int]:
        """The pid of each process that runs, by name."""
        return {name: process["pid"] for name, process in self.status().items() if process["pid"]}

    def supervisor(self) -> int:
        """The pid of the supervisor."""
        known = state.read(self.home)
        assert known is not None, "no stack runs"
        return known.supervisor_pid

    def kill(self, pid: int) -> None:
        """kill -9, and wait until the process is gone."""
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=_HANGS_AFTER_S)

    def leftovers(self) -> list[str]:
        """Names of processes of this home that still run."""
        return [orphan.name for orphan in orphans.find(self.home.path, None)]


_FUNNEL = (sys.executable, "-P", "-c", "from funnel.cli import main; main()")


@contextmanager
def stack_under_test(environment: Mapping[str, str]) -> Iterator[StackUnderTest]:
    """A home that is brought down and removed afterwards, whatever the test did.

    It is not under pytest's own folder: pytest takes the right to pass through that away from the user that root's
    PostgreSQL runs as.
    """
    home = Path(tempfile.mkdtemp(prefix="funnel-home-"))
    stack = StackUnderTest(home, environment)
    try:
        yield stack
    finally:
        stack.funnel("down")
        shutil.rmtree(home, ignore_errors=True)


def on_servers_of(settings: Settings) -> dict[str, str]:
    """Variables of a stack that uses the servers, the database and the topics of `settings`."""
    names = ("kafka_bootstrap", "postgres_dsn", "topic_prefix", "ingest_port", "scoring_port", "routing_port")
    values = {name: getattr(settings, name) for name in (*names, "metrics_port", "waive_replication", "key_secret")}
    return {f"FUNNEL_{name.upper()}": str(value) for name, value in values.items()}


def on_free_ports() -> dict[str, str]:
    """Variables of a stack with servers of its own."""
    names = ("KAFKA", "INGEST", "SCORING", "ROUTING", "METRICS")
    return {f"FUNNEL_{name}_PORT": str(free_port()) for name in names}
