"""One row of the fault matrix belongs to every run of the tests: leaders killed on a real cluster, under load."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.eventually import eventually

EVENTS = 1500


class Matrix:
    """`python -m chaos` in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.report = folder / "report.json"
        self.output = folder / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "FUNNEL_HOME": str(self.home)}
        argv: Sequence[str] = (
            sys.executable,
            "-m",
            "chaos",
            "--size",
            "smoke",
            "--report",
            str(self.report),
            *arguments,
        )
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(argv, env=environment, stdout=output, stderr=subprocess.STDOUT)
        return self._process

    def leftovers(self) -> list[str]:
        """Processes that work in the home."""
        return [" ".join(one.info["cmdline"]) for one in psutil.process_iter(["cmdline"]) if self._is_ours(one)]

    def _is_ours(self, process: psutil.Process) -> bool:
        return any(str(self.home) in part for part in process.info["cmdline"] or ())

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()


@pytest.fixture
def matrix() -> Iterator[Matrix]:
    folder = Path(tempfile.mkdtemp(prefix="funnel-chaos-"))  # not below pytest's: see chaos.stack
    made = Matrix(folder)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


async def test_leaders_killed_under_load_lose_and_double_nothing(matrix: Matrix) -> None:
    seed = int(os.environ.get("FUNNEL_TEST_SEED", secrets.randbits(31)))
    print(f"FUNNEL_TEST_SEED={seed}")  # noqa: T201 - shown by pytest when the test fails
    run = matrix.start("--only", "7a", "--events", str(EVENTS), "--seed", str(seed))
    assert run.wait() == 0, matrix.said()
    told = json.loads(matrix.report.read_text(encoding="utf-8"))
    (row,) = told["rows"]
    counts: dict[str, Any] = row["counts"]
    assert (row["ending"], row["seed"], row["kills"]) == ("held", seed, 2)
    assert counts["events"] >= EVENTS
    assert counts["lost"] == counts["duplicated"] == counts["violations"] == 0
    assert counts["leads"] > 0
    assert counts["assigned"] > 0
    assert matrix.leftovers() == []


async def test_ctrl_c_leaves_nothing_running(matrix: Matrix) -> None:
    run = matrix.start("--only", "7a")

    def under_load() -> bool:
        assert run.poll() is None, matrix.said()
        return "load:" in matrix.said()

    await eventually(under_load, deadline=300)
    assert len(matrix.leftovers()) > 3  # brokers, servers, services: else the next line proves nothing
    run.send_signal(signal.SIGINT)
    assert run.wait() == 130, matrix.said()
    assert matrix.leftovers() == []
