"""Kafka and PostgreSQL under the supervisor: killed in every way, they come back with their data."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import psycopg
import pytest

from chaos.stack import StackUnderTest, on_free_ports, stack_under_test
from tests.support import eventually
from tests.support.kafka import Record, create_topics, produce, read_all

SERVERS = {"kafka", "postgres"}


@pytest.fixture
def stack() -> Iterator[StackUnderTest]:
    """A stack with servers of its own."""
    with stack_under_test(on_free_ports()) as made:
        yield made


def _up(stack: StackUnderTest) -> None:
    done = stack.funnel("up", "--detach")
    assert done.returncode == 0, done.stderr


def _note(dsn: str, text: str) -> list[str]:
    """Store `text`, and return everything stored so far."""
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS public.note (text text)")
        connection.execute("INSERT INTO public.note VALUES (%s)", (text,))
        return [row[0] for row in connection.execute("SELECT text FROM public.note ORDER BY text")]


async def test_servers_survive_kill_9_of_themselves_and_of_the_supervisor(stack: StackUnderTest) -> None:
    _up(stack)
    bootstrap, dsn = _addresses(stack)
    create_topics(bootstrap, {"notes": 1})
    produce(bootstrap, "notes", [Record(b"1")])
    assert _note(dsn, "1") == ["1"]

    before = stack.pids()
    for name in SERVERS:
        stack.kill(before[name])

    def both_are_back() -> bool:
        told = stack.status()
        return all(told[name]["ready"] and told[name]["pid"] != before[name] for name in SERVERS)

    await eventually(both_are_back, deadline=120)
    produce(bootstrap, "notes", [Record(b"2")])
    assert _note(dsn, "2") == ["1", "2"]

    before = stack.pids()
    stack.kill(stack.supervisor())
    _up(stack)
    assert {name: stack.pids()[name] for name in SERVERS} == {name: before[name] for name in SERVERS}

    assert stack.funnel("down").returncode == 0
    assert stack.leftovers() == []
    _up(stack)
    assert [record.value for record in read_all(bootstrap, "notes")] == [b"1", b"2"]
    assert _note(dsn, "3") == ["1", "2", "3"]
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SHOW data_checksums").fetchone() == ("on",)


async def test_kafka_s_port_in_use_is_named_before_anything_is_made(stack: StackUnderTest) -> None:
    port = stack.environment["FUNNEL_KAFKA_PORT"]
    with socket.create_server(("127.0.0.1", int(port))):
        refused = stack.funnel("up")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"kafka cannot listen on 127.0.0.1:{port} (Address already in use); "
        "stop what uses the port or set FUNNEL_KAFKA_PORT to a free one.\n"
    )
    assert not (stack.home.path / "kafka").exists()


async def test_a_half_made_data_folder_stops_up_with_one_sentence(stack: StackUnderTest) -> None:
    (stack.home.path / "postgres" / "base").mkdir(parents=True)
    refused = stack.funnel("up", "--detach")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"The PostgreSQL data folder {stack.home.path}/postgres is half made or damaged")
    assert refused.stderr.count("\n") == 1
    assert stack.leftovers() == []


def _addresses(stack: StackUnderTest) -> tuple[str, str]:
    told = stack.status()
    return told["kafka"]["url"].removeprefix("kafka://"), told["postgres"]["url"]
