"""`funnel demo` as a person runs it: a real stack of its own, a result that adds up, and nothing left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.command import RUN, funnel

LEADS = 12
STOP_SECONDS = 120.0


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment with a home of its own; servers of others must not be touched, so naming one is harmless."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FUNNEL_")}
    return inherited | {"FUNNEL_HOME": str(tmp_path), "FUNNEL_KAFKA_BOOTSTRAP": "127.0.0.1:1"}


def left_running(home: Path) -> list[psutil.Process]:
    """Processes that belong to a stack below `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("FUNNEL_HOME", "").startswith(str(home))
        except psutil.Error:
            continue
        if mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def play(env: dict[str, str]) -> Any:
    return json.loads(funnel("demo", "--leads", str(LEADS), "--seed", "14", "--json", env=env).stdout)


def test_a_demo_accounts_for_everything_and_the_same_seed_qualifies_the_same_leads(
    env: dict[str, str], tmp_path: Path
) -> None:
    first, second = play(env), play(env)
    for result in (first, second):
        assert result["problems"] == []
        assert result["ledger"]["leads"]["total"] == len(result["leads"]) == LEADS
        assert all(lead["rep"] for lead in result["leads"] if lead["state"] == "assigned")
        assert all(lead["reason"] for lead in result["leads"] if lead["state"] == "held")
    assert first["qualified"] == second["qualified"]
    assert {one["email"]: one["lead_id"] for one in first["leads"]} == {
        one["email"]: one["lead_id"] for one in second["leads"]
    }
    assert left_running(tmp_path) == []


def test_a_demo_goes_on_when_its_services_are_killed_and_still_accounts_for_everything(
    env: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", RUN, "demo", "--leads", "60", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        restarts = iter(demo.stderr)
        assert any(line.startswith("people visit") for line in restarts)
        for service in ("ingest", "scoring", "routing", "metrics"):
            children = json.loads((tmp_path / "demo" / "run" / "state.json").read_text())["children"]
            os.kill(next(child["pid"] for child in children if child["name"] == service), signal.SIGKILL)
            assert any(line.startswith(f"{service} started again") for line in restarts)
        rest = threading.Thread(target=list, args=(restarts,))
        rest.start()
        result = json.loads(demo.stdout.read())
        rest.join()
    assert result["problems"] == []
    assert demo.returncode == 0
    assert left_running(tmp_path) == []


def test_a_demo_that_is_killed_takes_its_stack_with_it(env: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, "demo", "--leads", "500"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        assert any(line.startswith("people visit") for line in demo.stderr)
        stack = left_running(tmp_path)
        demo.kill()
        _, alive = psutil.wait_procs(stack, STOP_SECONDS)
    assert alive == []
    assert left_running(tmp_path) == []


def test_a_demo_that_is_interrupted_leaves_nothing_running(env: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, "demo", "--leads", "500"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        assert any(line.startswith("people visit") for line in demo.stderr)
        assert len(left_running(tmp_path)) > 4
        demo.send_signal(signal.SIGINT)
        assert demo.stderr.read().endswith("Stopped; nothing is left running.\n")
        assert demo.wait(STOP_SECONDS) == 130
    assert left_running(tmp_path) == []


def test_a_demo_does_not_start_where_another_one_plays(env: dict[str, str], tmp_path: Path) -> None:
    from funnel.embedded.home import Home

    with Home.at(tmp_path / "demo").locked():
        refused = funnel("demo", "--leads", "1", env=env, expect=1)
    assert "already running" in refused.stderr
    assert "Traceback" not in refused.stderr
