"""Each arm at a size that says nothing about speed, so that the bench itself does not rot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from bench.arms import ARMS
from bench.plan import Sizes
from bench.run import Bench
from bench.screen import Screen
from bench.servers import seen
from funnel.embedded.servers import Servers

SIZES = Sizes(
    spine_events=4_000,
    scoring_events=1_500,
    assignment_events=1_500,
    faust_events=0,
    latency_seconds=0.5,
    latency_warm_up_seconds=0.5,
    intake_posts=400,
    intake_batches=5,
)


@pytest.mark.parametrize("name", ["spine", "assignments", "latency", "intake"])
def test_an_arm_gives_its_figures_and_finds_its_output_right(name: str, servers: Servers, tmp_path: Path) -> None:
    given = seen(servers.kafka_bootstrap, servers.postgres_dsn, own=False)
    bench = Bench(given, tmp_path, SIZES, Screen(Console(quiet=True)), datetime.now(UTC))
    outcome = ARMS[name].run(bench)
    assert outcome.problems == []
    told = {
        figure.name for figure in ARMS[name].figures if not figure.name.startswith("cpu")
    }  # of remote servers: none
    assert told <= outcome.figures.keys()
    assert not any(tmp_path.iterdir())
