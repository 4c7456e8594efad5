"""`up`, `status` and `down`: what the supervisor does with its services, however it or they end."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator

import pytest

from chaos.stack import StackUnderTest, on_servers_of, stack_under_test
from funnel.settings import Settings
from tests.support import eventually

SERVICES = {"ingest", "scoring", "routing", "metrics"}


@pytest.fixture
def stack(settings: Settings) -> Iterator[StackUnderTest]:
    """A stack on the servers of the run: only its services are its own."""
    with stack_under_test(on_servers_of(settings)) as made:
        yield made


def _up(stack: StackUnderTest) -> None:
    done = stack.funnel("up", "--detach")
    assert done.returncode == 0, done.stderr


async def test_up_serves_status_tells_and_down_leaves_nothing(stack: StackUnderTest, settings: Settings) -> None:
    _up(stack)

    told = json.loads(stack.funnel("status", "--json").stdout)
    assert set(told) == {"processes", "kafka", "postgres"}
    assert told["kafka"] == {"bootstrap": settings.kafka_bootstrap}
    assert told["postgres"] == {"dsn": settings.postgres_dsn}
    assert {process["name"] for process in told["processes"]} == SERVICES
    for process in told["processes"]:
        assert set(process) == {"name", "pid", "url", "ready", "detail"}
        assert process["ready"] is True
        assert process["url"] == settings.url_of(process["name"])

    assert stack.funnel("down").returncode == 0
    assert stack.leftovers() == []
    assert json.loads(stack.funnel("status", "--json").stdout)["processes"] == []


async def test_a_killed_service_is_started_again_and_status_says_so(stack: StackUnderTest) -> None:
    _up(stack)
    before = stack.pids()
    stack.kill(before["scoring"])

    def again() -> bool:
        scoring = stack.status()["scoring"]
        return scoring["ready"] and scoring["pid"] != before["scoring"] and "killed by SIGKILL" in scoring["detail"]

    await eventually(again)
    assert {**stack.pids(), "scoring": 0} == {**before, "scoring": 0}


async def test_after_the_supervisor_is_killed_up_goes_on_with_what_runs(stack: StackUnderTest) -> None:
    _up(stack)
    before, killed = stack.pids(), stack.supervisor()
    stack.kill(killed)
    stack.kill(before["routing"])

    assert "The supervisor is gone" in stack.funnel("status").stderr
    _up(stack)

    after = stack.pids()
    assert stack.supervisor() != killed
    assert after["routing"] != before["routing"]
    assert {**after, "routing": 0} == {**before, "routing": 0}
    stack.funnel("down")
    assert stack.leftovers() == []


async def test_orphans_with_other_settings_are_replaced(stack: StackUnderTest) -> None:
    _up(stack)
    before = stack.pids()
    stack.kill(stack.supervisor())
    stack.environment["FUNNEL_TIMEZONE"] = "Europe/Berlin"
    _up(stack)
    assert set(stack.pids()) == SERVICES
    assert not set(stack.pids().values()) & set(before.values())


async def test_orphans_are_found_without_the_state_file_too(stack: StackUnderTest) -> None:
    _up(stack)
    stack.kill(stack.supervisor())
    stack.home.state_file.unlink()
    assert set(stack.leftovers()) == SERVICES
    assert "stopping" in stack.funnel("down").stdout
    assert stack.leftovers() == []


async def test_a_second_up_on_the_same_home_is_refused(stack: StackUnderTest) -> None:
    _up(stack)
    refused = stack.funnel("up")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"A stack is already running on {stack.home.path} (process {stack.supervisor()});")
    assert refused.stderr.count("\n") == 1
    assert set(stack.pids()) == SERVICES


@pytest.mark.parametrize("arguments", [("up",), ("up", "--detach")])
async def test_a_port_in_use_is_named_and_nothing_is_left(
    stack: StackUnderTest, settings: Settings, arguments: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", settings.routing_port)):
        refused = stack.funnel(*arguments)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"routing cannot listen on 127.0.0.1:{settings.routing_port} (Address already in use); "
        "stop what uses the port or set FUNNEL_ROUTING_PORT to a free one.\n"
    )
    assert stack.leftovers() == []


async def test_a_service_that_stops_loudly_shows_its_reason(stack: StackUnderTest) -> None:
    (stack.home.path / "routing.yaml").write_text("pools: 7\n", encoding="utf-8")
    done = stack.funnel("up", "--detach")
    assert done.returncode == 1
    assert "routing" in done.stderr
    assert "Traceback" not in done.stderr

    def told() -> bool:
        return "routing.yaml" in stack.status()["routing"]["detail"]

    await eventually(told)
    assert all(stack.status()[name]["ready"] for name in SERVICES - {"routing"})


async def test_ctrl_c_stops_everything(stack: StackUnderTest) -> None:
    running = stack.begin("up")
    assert running.stdout is not None
    await eventually(lambda: set(stack.pids()) >= SERVICES, deadline=120)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 0, said
    assert said.rstrip().endswith("Stopped.")
    assert stack.leftovers() == []
    assert stack.status() == {}


async def test_commands_find_the_running_stack_without_its_variables(stack: StackUnderTest, settings: Settings) -> None:
    _up(stack)
    elsewhere = {name: value for name, value in stack.environment.items() if not name.startswith("FUNNEL_")}
    other = StackUnderTest(stack.home.path, {})
    other.environment = {**elsewhere, "FUNNEL_HOME": str(stack.home.path)}
    listed = other.funnel("topics", "--json")
    assert listed.returncode == 0, listed.stderr
    assert {row["name"] for row in json.loads(listed.stdout)["topics"]} >= {settings.topic_prefix + "lead-events"}
