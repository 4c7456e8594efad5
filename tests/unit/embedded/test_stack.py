"""Which servers a stack runs itself, and what its services are told."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from funnel.embedded.home import Home
from funnel.embedded.running import join
from funnel.embedded.stack import Stack
from funnel.settings import Settings

HOME = Home(Path("/srv/funnel"))


def _stack(**settings: object) -> Stack:
    return Stack.at(HOME, Settings.model_validate(settings))


def test_with_nothing_set_both_servers_are_embedded_and_replication_is_waived() -> None:
    stack = _stack()
    assert stack.kafka is not None
    assert stack.postgres is not None
    told = stack.environment()
    assert told["FUNNEL_KAFKA_BOOTSTRAP"] == stack.kafka.bootstrap
    assert told["FUNNEL_POSTGRES_DSN"] == "postgresql://postgres@/funnel?host=/srv/funnel/run/postgres"
    assert told["FUNNEL_WAIVE_REPLICATION"] == "true"


def test_servers_that_are_named_are_used_and_nothing_is_waived() -> None:
    stack = _stack(kafka_bootstrap="k:9092", postgres_dsn="postgresql://p/funnel")
    assert (stack.kafka, stack.postgres) == (None, None)
    assert stack.environment()["FUNNEL_WAIVE_REPLICATION"] == "false"
    assert {port.child for port in stack.ports()} == {"ingest", "scoring", "routing", "metrics"}


def test_the_environment_others_may_read_holds_no_secret() -> None:
    stack = _stack(key_secret="do not write this down", admin_token="nor this")
    assert not {"do not write this down", "nor this"} & {*stack.environment().values()}
    assert all(program.environment["FUNNEL_KEY_SECRET"] == "do not write this down" for program in stack.services())


def test_services_are_told_their_port_and_where_to_leave_a_reason() -> None:
    programs = {
        program.name: program for program in _stack(routing_port=9002, key_secret="x", admin_token="y").services()
    }
    assert programs["routing"].environment["FUNNEL_ROUTING_PORT"] == "9002"
    assert programs["routing"].environment["FUNNEL_REASON_FILE"] == "/srv/funnel/run/reasons/routing"
    assert programs["routing"].argv[-2:] == ("-m", "services.routing")


def test_a_service_has_the_same_name_after_a_restart_and_another_one_in_another_home() -> None:
    def names(home: str, **settings: object) -> set[str]:
        stack = Stack.at(Home(Path(home)), Settings.model_validate({"key_secret": "x", "admin_token": "y", **settings}))
        return {program.environment["FUNNEL_REPLICA"] for program in stack.services()}

    assert len(names("/srv/funnel")) == 1
    assert names("/srv/funnel") == names("/srv/funnel") != names("/srv/other")
    assert names("/srv/funnel", replica="seat-1") == {"seat-1"}


def test_a_home_with_a_long_path_gets_a_short_folder_for_its_socket() -> None:
    deep = Stack.at(Home(Path("/" + "/".join(["folder"] * 20))), Settings())
    assert deep.postgres is not None
    assert len(str(deep.postgres.socket_folder / ".s.PGSQL.5432")) < 104


def test_only_ingest_is_told_the_secrets_of_ingest_and_nobody_may_read_them() -> None:
    secrets = {"admin_token": "a token", "turnstile_secret": "a turnstile"}
    stack = _stack(key_secret="x", **secrets)
    told = {program.name: {*program.environment.values()} for program in stack.services()}
    assert {name for name, values in told.items() if values & set(secrets.values())} == {"ingest"}
    assert told["ingest"] >= set(secrets.values())
    assert not {*stack.environment().values()} & set(secrets.values())


def test_services_are_told_whether_keys_are_required_only_where_that_was_said() -> None:
    assert "FUNNEL_REQUIRE_KEYS" not in _stack().environment()
    assert _stack(require_keys=False).environment()["FUNNEL_REQUIRE_KEYS"] == "false"


@pytest.mark.parametrize("settings", [{}, {"host": "0.0.0.0"}, {"postgres_dsn": "postgresql://p/funnel"}])
def test_a_stack_makes_itself_an_admin_token_when_none_is_set(tmp_path: Path, settings: dict[str, Any]) -> None:
    home = Home(tmp_path)
    assert Stack.at(home, Settings(admin_token="mine", **settings)).admin_token() == "mine"
    assert list(tmp_path.iterdir()) == []
    made = Stack.at(home, Settings(**settings)).admin_token()
    assert len(made) == 64
    assert Stack.at(home, Settings(**settings)).admin_token() == made
    assert stat.S_IMODE((tmp_path / "admin_token").stat().st_mode) == 0o600


@pytest.mark.parametrize("servers", [{}, {"kafka_bootstrap": "k:9092", "postgres_dsn": "postgresql://p/funnel"}])
def test_a_command_finds_the_admin_token_of_the_home(tmp_path: Path, servers: dict[str, Any]) -> None:
    settings = Settings(home=tmp_path, **servers)
    assert "FUNNEL_ADMIN_TOKEN" not in join(settings)
    made = Stack.at(Home(tmp_path), settings).admin_token()
    assert join(settings)["FUNNEL_ADMIN_TOKEN"] == made
