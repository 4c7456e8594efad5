"""What is written down of a real Kafka and a real Postgres: everything, as it is, on one line each."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer
from psycopg.types.json import Json

from chaos.checker import check, collect
from funnel.settings import Settings
from tests.support.kafka import Record, produce

ODD = 'a "quoted" \\ backslash,\nline, tab\t, ünïcode  , \x02'


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history"


def collected(settings: Settings, history: Path, patience: float = 0.0) -> Path:
    collect(history, settings.kafka_bootstrap, settings.postgres_dsn, settings.topic_prefix, patience=patience)
    return history


def test_records_are_written_as_they_are(settings: Settings, history: Path) -> None:
    plain, pretty = json.dumps({"text": ODD}).encode(), b'{\n  "a": 1,\r\n  "b": [1,\n2]\n}'
    values = [plain, pretty, b"not json", b"[1, 2]", b'{"a": NaN}', b"\xff\xfe", None]
    written = [Record(value, b"key \xff", {"ce_id": b"1", "bad": b"\xff"}, partition=1) for value in values]
    produce(settings.kafka_bootstrap, f"{settings.topic_prefix}lead-outcomes", written)
    topics = collected(settings, history) / "topics"
    found = lines(topics / "lead-outcomes.jsonl")
    assert [one["value"] for one in found] == [{"text": ODD}, {"a": 1, "b": [1, 2]}, *[None] * 5]
    assert [base64.b64decode(one["raw"]) for one in found if "raw" in one] == values[2:6]
    assert [one["sha256"] for one in found] == [hashlib.sha256(value or b"").hexdigest() for value in values]
    assert {(one["key"], one["headers"]["ce_id"], one["headers"]["bad"]) for one in found} == {
        ("key \\xff", "1", "\\xff")
    }
    assert [(one["partition"], one["offset"]) for one in found] == [(1, offset) for offset in range(len(values))]
    assert json.loads((topics / "lead-outcomes.bounds.json").read_text()) == {"0": [0, 0], "1": [0, 7], "2": [0, 0]}
    assert lines(topics / "lead-events.jsonl") == []


def test_what_a_transaction_took_back_is_not_there(settings: Settings, history: Path) -> None:
    topic = f"{settings.topic_prefix}lead-outcomes"
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "transactional.id": settings.topic_prefix})
    producer.init_transactions(30)
    for value, end in ((b'{"n": 1}', producer.commit_transaction), (b'{"n": 2}', producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush(30)
        end(30)
    topics = collected(settings, history) / "topics"
    assert [one["value"] for one in lines(topics / "lead-outcomes.jsonl")] == [{"n": 1}]
    assert json.loads((topics / "lead-outcomes.bounds.json").read_text())["0"] == [0, 4]


def test_rows_are_written_as_they_are_and_no_secret(settings: Settings, history: Path) -> None:
    with psycopg.connect(settings.postgres_dsn) as connection:
        connection.execute("INSERT INTO scoring.inbox VALUES (%s, 'e1', '\\x00ff', '2026-11-22T09:00:00Z')", [ODD])
        connection.execute(
            "INSERT INTO scoring.touch VALUES (gen_random_uuid(), now(), 'e1', 's', 't', %s)",
            [Json({"text": ODD}, dumps=lambda value: json.dumps(value, indent=2))],
        )
        connection.execute(
            "INSERT INTO ingest.source VALUES ('s', '{}', '{}', 1, '', 0, false, '{}', true);"
            "INSERT INTO ingest.source_key (source, kind, digest, hint) VALUES ('s', 'write', sha256('secret'), 'fwk_')"
        )
    tables = collected(settings, history) / "tables"
    at = "2026-11-22T09:00:00+00:00"
    assert lines(tables / "scoring.inbox.jsonl") == [{"source": ODD, "event_id": "e1", "hash": "\\x00ff", "at": at}]
    assert lines(tables / "scoring.touch.jsonl")[0]["details"] == {"text": ODD}
    assert lines(tables / "routing.assignment.jsonl") == []
    assert not (tables / "ingest.source_key.jsonl").exists()


def test_a_deployment_that_never_ran_is_as_promised(settings: Settings, history: Path) -> None:
    verdict = check(collected(settings, history, patience=30))
    assert verdict.violations == []


def test_a_record_that_nobody_reads_shows_as_stuck(settings: Settings, history: Path) -> None:
    produce(settings.kafka_bootstrap, f"{settings.topic_prefix}lead-events", [Record(b"{}", headers={"ce_id": b"1"})])
    violations = check(collected(settings, history)).violations
    assert {(one.invariant, one.category, one.what) for one in violations} == {
        ("I9", "stuck", "scoring of lead-events"),
        ("I9", "stuck", "metrics of lead-events"),
    }


def test_metrics_that_does_not_answer_shows_as_stuck(settings: Settings, history: Path) -> None:
    metrics = settings.url_of("metrics")
    collect(history, settings.kafka_bootstrap, settings.postgres_dsn, settings.topic_prefix, metrics, patience=0)
    assert {(one.invariant, one.category, one.what) for one in check(history).violations} == {
        ("I9", "stuck", "metrics")
    }
