"""Thousands of runs with other seeds each time. `FUNNEL_TEST_SEED=n make test TESTS=tests/simulator` repeats one."""

from __future__ import annotations

import os
import secrets

import pytest

from tests.simulator.run import first_violation

RUNS = {"toy": 1000, "scoring": 400, "routing": 400, "pipeline": 200}


@pytest.mark.parametrize("play", RUNS)
def test_every_promise_holds_in_every_run(play: str) -> None:
    base = int(os.environ.get("FUNNEL_TEST_SEED", secrets.randbits(32)))
    print(f"FUNNEL_TEST_SEED={base}")  # noqa: T201 - shown by pytest when the test fails
    found = first_violation(play, range(base, base + RUNS[play]))
    assert found is None, found.report()
