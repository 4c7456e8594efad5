"""A topic file that is wrong says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from funnel import schemas
from funnel.schemas import BadSchemas
from funnel.topics import Replication, load, topics

GOOD = (schemas.folder() / "topics" / "lead-outcomes.yaml").read_text(encoding="utf-8")


def load_text(folder: Path, text: str) -> str:
    """What loading a folder with one file of this text complains about."""
    path = folder / "lead-outcomes.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadSchemas) as caught:
        load(folder)
    message = str(caught.value)
    assert str(path) in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("partitions: 12", "partitions: twelve", "Expected `int`, got `str` - at `$.partitions`"),
        ("partitions: 12", "partitions: 0", "Expected `int` >= 1 - at `$.partitions`"),
        ("partitions: 12\n", "", "Object missing required field `partitions`"),
        ("partitions: 12", "partition: 12", "Object contains unknown field `partition`"),
        ("factor: 3, min_insync: 2", "factor: 3", "missing required field `min_insync` - at `$.replication"),
        ("factor: 3, min_insync: 2", "factor: 1, min_insync: 2", "above factor - at `$.replication.production`"),
        ("  embedded: {factor: 1, min_insync: 1}\n", "", "needs both production and embedded - at `$.replication`"),
        ("body_alone: 1", "body_alone: 2", "version 2 is not listed in versions - at `$.body_alone`"),
        ("1: lead_outcome.v1", "0: lead_outcome.v1", "$.versions"),
        ("1: lead_outcome.v1", "1: lead_outcome", "does not name a schema and its version"),
        ('segment.ms: "86400000"', "segment.ms: 86400000", "Expected `str`, got `int` - at `$.config[...]`"),
        (GOOD, "", "Expected `object`, got `null`"),
        (GOOD, "- a list", "Expected `object`, got `array`"),
        ("partitions:", "partitions: [", "line"),
    ],
)
def test_the_file_and_the_field_are_named(tmp_path: Path, was: str, becomes: str, complaint: str) -> None:
    assert was in GOOD

    assert complaint in load_text(tmp_path, GOOD.replace(was, becomes))


def test_a_topic_has_the_settings_of_its_environment() -> None:
    topic = topics()["lead-events"]

    production, embedded = topic.broker_config("production"), topic.broker_config("embedded")

    assert production["retention.ms"] == str(14 * 24 * 60 * 60 * 1000)
    assert (production["min.insync.replicas"], embedded["min.insync.replicas"]) == ("2", "1")
    assert topic.replication["production"] == Replication(factor=3, min_insync=2)
    assert set(production) == set(embedded)


def test_assignments_never_get_more_partitions() -> None:
    assert [name for name, topic in topics().items() if not topic.partitions_may_grow] == ["lead-assignments"]


def test_every_topic_that_carries_leads_starts_with_12_partitions() -> None:
    partitions = {name: topic.partitions for name, topic in topics().items()}
    assert partitions.pop("ingest-receipts") == 1
    assert set(partitions.values()) == {12}


def test_no_topic_lets_records_outlive_their_retention_by_more_than_a_day() -> None:
    for topic in topics().values():
        assert int(topic.config["segment.ms"]) <= 24 * 60 * 60 * 1000, topic.name
        assert topic.config["message.timestamp.type"] == "LogAppendTime", topic.name


def test_a_folder_without_schemas_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas.folder.cache_clear()
    monkeypatch.setattr(schemas, "__file__", str(tmp_path / "funnel" / "schemas" / "__init__.py"))
    try:
        with pytest.raises(BadSchemas, match="install the funnel package again"):
            schemas.folder()
    finally:
        schemas.folder.cache_clear()
