"""`funnel migrate` on servers that are there already, as the init job of the containers runs it."""

from __future__ import annotations

import psycopg

from chaos.stack import stack_under_test
from funnel.embedded.servers import Servers
from tests.support.databases import new_database


def test_migrate_makes_tables_and_topics_and_may_be_run_again(servers: Servers, topic_prefix: str) -> None:
    with new_database(servers.postgres_dsn, "empty") as dsn:
        told = {
            "FUNNEL_KAFKA_BOOTSTRAP": servers.kafka_bootstrap,
            "FUNNEL_POSTGRES_DSN": dsn,
            "FUNNEL_TOPIC_PREFIX": topic_prefix,
            "FUNNEL_WAIVE_REPLICATION": "true",
        }
        with stack_under_test(told) as stack:
            for _ in "12":
                done = stack.funnel("migrate")
                assert (done.returncode, done.stderr) == (0, ""), done.stderr
            checked = stack.funnel("topics", "--check")
            assert checked.returncode == 0, checked.stdout
        with psycopg.connect(dsn) as connection:
            rows = connection.execute("SELECT schemaname FROM pg_tables WHERE tablename = 'position'").fetchall()
        assert sorted(rows) == [("metrics",), ("routing",), ("scoring",)]


def test_migrate_says_which_server_is_away(servers: Servers) -> None:
    told = {
        "FUNNEL_KAFKA_BOOTSTRAP": servers.kafka_bootstrap,
        "FUNNEL_POSTGRES_DSN": "postgresql://nobody@127.0.0.1:1/funnel",
    }
    with stack_under_test(told) as stack:
        done = stack.funnel("migrate")
        assert done.returncode == 1
        assert done.stderr.startswith("Postgres cannot be reached for the migrations")
        assert "Traceback" not in done.stderr
