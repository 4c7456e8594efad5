"""Which servers a stack runs itself, and what its services are told."""

from __future__ import annotations

from pathlib import Path

from funnel.embedded.home import Home
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
    stack = _stack(key_secret="do not write this down")
    assert "do not write this down" not in "".join(stack.environment().values())
    assert all(program.environment["FUNNEL_KEY_SECRET"] == "do not write this down" for program in stack.services())


def test_services_are_told_their_port_and_where_to_leave_a_reason() -> None:
    programs = {program.name: program for program in _stack(routing_port=9002, key_secret="x").services()}
    assert programs["routing"].environment["FUNNEL_ROUTING_PORT"] == "9002"
    assert programs["routing"].environment["FUNNEL_REASON_FILE"] == "/srv/funnel/run/reasons/routing"
    assert programs["routing"].argv[-2:] == ("-m", "services.routing")


def test_a_home_with_a_long_path_gets_a_short_folder_for_its_socket() -> None:
    deep = Stack.at(Home(Path("/" + "/".join(["folder"] * 20))), Settings())
    assert deep.postgres is not None
    assert len(str(deep.postgres.socket_folder / ".s.PGSQL.5432")) < 104
