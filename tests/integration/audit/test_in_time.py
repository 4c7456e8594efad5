"""The promise: a record lost or doubled behind the product's back shows within a minute, and the alert fires.

The metrics service is a process of its own with its own settings, and a real Prometheus scrapes it with our rules.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from funnel.embedded.ports import free_port
from funnel.settings import Settings
from tests.architecture.markdown import ROOT
from tests.integration.audit.world import PATIENCE, World, play
from tests.integration.metrics.services import replica
from tests.support import eventually

PROMISED_SECONDS = 60.0


def lose_one(world: World) -> None:
    world.change("DELETE FROM scoring.inbox WHERE event_id = 'e-2'")


def double_one(world: World) -> None:
    world.produce("lead-assignments", world.records("lead-assignments")[0])


@contextmanager
def prometheus(folder: Path, metrics_url: str) -> Iterator[httpx.Client]:
    """The real one with our configuration, but for the addresses; skipped where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    config["rule_files"] = [str(ROOT / "deploy/prometheus/alerts.yml")]
    for job in config["scrape_configs"]:
        targets = [metrics_url.removeprefix("http://")] if job["job_name"] == "metrics" else []
        job["static_configs"] = [{"targets": targets}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with subprocess.Popen(command) as process, httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1") as client:
        try:
            yield client
        finally:
            process.kill()


def asked(client: httpx.Client, path: str, **params: str) -> Any:
    """What Prometheus answers, once it is up."""
    try:
        answer = client.get(path, params=params)
    except httpx.TransportError as error:
        raise AssertionError("Prometheus does not answer yet") from error
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def firing(client: httpx.Client) -> set[tuple[str, str]]:
    """(alert, kind) of what fires."""
    alerts = [one["labels"] for one in asked(client, "/alerts")["alerts"] if one["state"] == "firing"]
    return {(labels["alertname"], labels.get("kind", "")) for labels in alerts}


def scraped(client: httpx.Client, query: str) -> float | None:
    """The value Prometheus has for a query of one series."""
    found = asked(client, "/query", query=query)["result"]
    return float(found[0]["value"][1]) if found else None


@pytest.mark.parametrize(
    ("plant", "kind", "alert"),
    [
        (lose_one, "effects_lost", "FunnelUnaccounted"),
        (double_one, "assignments_repeated", "FunnelAssignmentRepeated"),
    ],
)
async def test_one_record_lost_or_doubled_is_an_alarm_within_a_minute(
    settings: Settings, tmp_path: Path, plant: Callable[[World], None], kind: str, alert: str
) -> None:
    with replica(settings, "a") as metrics:
        await eventually(metrics.client.ready, PATIENCE)
        world = World(settings, metrics.client)
        await play(world)
        with prometheus(tmp_path, metrics.client.url) as client:
            series = f'funnel_unaccounted{{kind="{kind}"}}'
            await eventually(lambda: scraped(client, series) == 0, PATIENCE)
            await world.rounds(2)
            assert {name for name, _ in firing(client)} & {"FunnelUnaccounted", "FunnelAssignmentRepeated"} == set()
            plant(world)
            await eventually(lambda: scraped(client, series) == 1, deadline=PROMISED_SECONDS)
            await eventually(lambda: (alert, kind) in firing(client), deadline=PROMISED_SECONDS)
