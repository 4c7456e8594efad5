"""The containers are the same parts as the embedded stack, told the same settings."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from funnel.embedded.jars import KAFKA_VERSION
from funnel.embedded.postgres import MAJOR_VERSION
from funnel.embedded.stack import SERVICES
from funnel.settings import Settings
from tests.architecture.markdown import ROOT, text_of

COMPOSE: dict[str, Any] = yaml.safe_load(text_of("docker-compose.yml"))
PARTS: dict[str, Any] = COMPOSE["services"]
SERVERS = {"kafka", "postgres", "prometheus", "grafana"}


def composed(empty: Path, **variables: str) -> dict[str, Any]:
    """What Compose makes of the file with these variables set, and with the file `empty` in place of `.env`."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed (Debian: apt-get install docker-compose)")
    empty.touch()
    done = subprocess.run(
        [program, "--env-file", str(empty), "config"],
        cwd=ROOT, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    parts: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return parts


def test_compose_accepts_the_file(tmp_path: Path) -> None:
    assert composed(tmp_path / ".env").keys() == {*SERVERS, *SERVICES, "migrate"}


def test_every_image_can_be_another_one(tmp_path: Path) -> None:
    names = {part: re.findall(r"\$\{([A-Z_]+):-", PARTS[part]["image"]) for part in PARTS}
    variables = {variable: f"mirror.example/{variable.lower()}:1" for (variable,) in names.values()}
    found = composed(tmp_path / ".env", **variables)
    assert {part: found[part]["image"] for part in found} == {part: variables[names[part][0]] for part in names}


def test_the_servers_are_of_the_versions_of_the_embedded_stack() -> None:
    assert f":-apache/kafka:{KAFKA_VERSION}}}" in PARTS["kafka"]["image"]
    assert f":-postgres:{MAJOR_VERSION}}}" in PARTS["postgres"]["image"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_on_its_port_once_tables_and_topics_are_there(name: str) -> None:
    part, port = PARTS[name], Settings().port_of(name)
    assert part["command"] == ["python", "-m", f"services.{name}"]
    assert part["ports"] == [f"127.0.0.1:${{FUNNEL_{name.upper()}_PORT:-{port}}}:{port}"]
    assert f"http://127.0.0.1:{port}/readyz" in part["healthcheck"]["test"][-1]
    assert part["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_tables_and_topics_are_made_once_both_servers_answer() -> None:
    migrate = PARTS["migrate"]
    assert migrate["command"] == ["funnel", "migrate"]
    assert migrate["depends_on"] == {name: {"condition": "service_healthy"} for name in ("kafka", "postgres")}
    assert migrate["restart"] == "no"


@pytest.mark.parametrize("name", sorted({*SERVERS, *SERVICES}))
def test_a_part_that_stays_says_whether_it_is_well(name: str) -> None:
    assert PARTS[name]["healthcheck"]["test"][0] == "CMD"
    assert PARTS[name]["restart"] == "unless-stopped"


def test_only_settings_that_exist_are_set() -> None:
    known = {f"FUNNEL_{name.upper()}" for name in Settings.model_fields}
    assert {name for part in (*SERVICES, "migrate") for name in PARTS[part]["environment"]} <= known


def test_the_single_copy_is_said_openly() -> None:
    assert {PARTS[name]["environment"]["FUNNEL_WAIVE_REPLICATION"] for name in (*SERVICES, "migrate")} == {"true"}


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for part in PARTS.values() for port in part.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_prometheus_asks_every_service() -> None:
    config = yaml.safe_load(text_of("deploy/prometheus/prometheus.yml"))
    asked = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert asked == {name: [f"{name}:{Settings().port_of(name)}"] for name in SERVICES}


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    (source,) = yaml.safe_load(text_of("deploy/grafana/provisioning/datasources/prometheus.yml"))["datasources"]
    (provider,) = yaml.safe_load(text_of("deploy/grafana/provisioning/dashboards/funnel.yml"))["providers"]
    dashboard = json.loads(text_of("deploy/grafana/dashboards/funnel.json"))
    used = {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel}
    assert used == {source["uid"]}
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in PARTS["grafana"]["volumes"]
    home = PARTS["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/funnel.json"


def test_the_image_is_given_all_that_its_build_reads() -> None:
    allowed = {line[1:].strip("/") for line in text_of(".dockerignore").splitlines() if line.startswith("!")}
    assert allowed == {"LICENSE", "README.md", "funnel", "pyproject.toml", "requirements.lock", "schemas", "services"}
    assert [name for name in allowed if not (ROOT / name).exists()] == []
