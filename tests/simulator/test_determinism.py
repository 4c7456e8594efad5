"""The same seed gives the same run, also in another process, where Python hashes strings otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulator.run import PLAYS, simulate

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("play", PLAYS)
def test_a_seed_is_one_run(play: str) -> None:
    for seed in range(5):
        assert simulate(seed, play).trace.lines() == simulate(seed, play).trace.lines()


def test_two_seeds_are_two_runs() -> None:
    assert simulate(1, "toy").trace.lines() != simulate(2, "toy").trace.lines()


@pytest.mark.parametrize("play", PLAYS)
def test_a_seed_is_the_same_run_in_another_process(play: str) -> None:
    command = [sys.executable, "-m", "tests.simulator", "--play", play, "--seeds", "5", "--trace"]
    shown = [
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.splitlines()[:-1]  # the last line tells how long it took
        for seed in ("1", "2")
    ]
    assert len(shown[0]) > 100
    assert shown[0] == shown[1]
