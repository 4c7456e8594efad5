"""The test harness itself: what every other integration test takes for granted."""

from __future__ import annotations

import psycopg

from funnel.settings import Settings
from tests.support.kafka import Record, produce, read_all


def test_records_come_back_in_order_with_key_and_headers(kafka_bootstrap: str, topics: str) -> None:
    topic = topics + "lead-events"
    sent = [
        Record(b"one", b"k", {"ce_id": b"1"}, partition=1),
        Record(b"two", b"k", partition=1),
        Record(None, partition=0),
    ]

    positions = produce(kafka_bootstrap, topic, sent)

    assert positions == [(1, 0), (1, 1), (0, 0)]
    found = read_all(kafka_bootstrap, topic)
    assert [(r.partition, r.offset, r.value, r.key) for r in found] == [
        (0, 0, None, None),
        (1, 0, b"one", b"k"),
        (1, 1, b"two", b"k"),
    ]
    assert found[1].headers == {"ce_id": b"1"}


def test_every_test_has_a_migrated_database_of_its_own(settings: Settings) -> None:
    with psycopg.connect(settings.postgres_dsn) as connection:
        schemas = connection.execute("SELECT schema_name FROM information_schema.schemata").fetchall()
    assert {"ingest", "scoring", "routing", "metrics"} <= {name for (name,) in schemas}


def test_commits_survive_a_crash_of_the_server(settings: Settings) -> None:
    with psycopg.connect(settings.postgres_dsn) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
            assert row == ("on",)
