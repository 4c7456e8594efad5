"""Topics on the real broker are what their files say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic  # type: ignore[attr-defined]
from typer import Typer
from typer.testing import CliRunner

from funnel.cli.topics import COULD_NOT_ASK, DIFFERS
from funnel.cli.topics import topics as topics_command
from funnel.kafka import admin
from funnel.kafka.admin import PhysicalTopic, TopicRefused
from funnel.kafka.consumer import KafkaAway
from funnel.topics import drift, ensure_topics
from funnel.topics import topics as declared
from tests.support import eventually

# Another client looks at what ours did.
SECONDS = 20


def partitions_of(bootstrap: str, prefix: str) -> dict[str, int]:
    found = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=SECONDS).topics
    return {name.removeprefix(prefix): len(t.partitions) for name, t in found.items() if name.startswith(prefix)}


def settings_of(bootstrap: str, name: str) -> Mapping[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    client = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = client.describe_configs([resource]).values()
    return {key: entry.value for key, entry in future.result(timeout=SECONDS).items()}


async def test_missing_topics_are_created_as_their_files_say(kafka_bootstrap: str, topic_prefix: str) -> None:
    assert await ensure_topics(kafka_bootstrap, prefix=topic_prefix, environment="embedded") == []

    assert partitions_of(kafka_bootstrap, topic_prefix) == {name: t.partitions for name, t in declared().items()}
    for name, topic in declared().items():
        config = topic.broker_config("embedded")
        actual = settings_of(kafka_bootstrap, topic_prefix + name)
        assert {key: actual[key] for key in config} == config


async def test_creating_again_or_at_the_same_time_changes_nothing(kafka_bootstrap: str, topic_prefix: str) -> None:
    racing = [ensure_topics(kafka_bootstrap, prefix=topic_prefix, environment="embedded") for _ in range(4)]

    assert await asyncio.gather(*racing) == [[], [], [], []]
    assert await ensure_topics(kafka_bootstrap, prefix=topic_prefix, environment="embedded") == []
    assert partitions_of(kafka_bootstrap, topic_prefix) == {name: t.partitions for name, t in declared().items()}


async def test_what_differs_is_said_and_left_as_it_is(kafka_bootstrap: str, topic_prefix: str) -> None:
    client = AdminClient({"bootstrap.servers": kafka_bootstrap})
    other = NewTopic(f"{topic_prefix}lead-scores", 5, 1, config={"retention.ms": "60000"})
    for future in client.create_topics([other]).values():
        future.result(timeout=SECONDS)

    differences = await ensure_topics(kafka_bootstrap, prefix=topic_prefix, environment="embedded")

    assert f"{topic_prefix}lead-scores has 5 partitions, its file says 12" in differences
    assert f"{topic_prefix}lead-scores has retention.ms=60000, its file says 1209600000" in differences
    assert (
        f"{topic_prefix}lead-scores has message.timestamp.type=CreateTime, its file says LogAppendTime" in differences
    )
    assert not [line for line in differences if "lead-scores" not in line]
    assert partitions_of(kafka_bootstrap, topic_prefix)["lead-scores"] == 5


async def test_only_assignments_must_not_have_grown(kafka_bootstrap: str, topic_prefix: str) -> None:
    await ensure_topics(kafka_bootstrap, prefix=topic_prefix, environment="embedded")
    client = AdminClient({"bootstrap.servers": kafka_bootstrap})
    more = [NewPartitions(f"{topic_prefix}{name}", 13) for name in ("lead-assignments", "lead-events")]
    for future in client.create_partitions(more).values():
        future.result(timeout=SECONDS)
    await eventually(lambda: partitions_of(kafka_bootstrap, topic_prefix)["lead-assignments"] == 13)

    (line,) = await drift(kafka_bootstrap, prefix=topic_prefix, environment="embedded")

    assert line.startswith(f"{topic_prefix}lead-assignments has 13 partitions and must not have more than 12")


async def test_looking_creates_nothing(kafka_bootstrap: str, topic_prefix: str) -> None:
    differences = await drift(kafka_bootstrap, prefix=topic_prefix)

    assert differences == [f"{topic_prefix}{name} does not exist" for name in declared()]
    assert partitions_of(kafka_bootstrap, topic_prefix) == {}


async def test_production_replication_on_one_broker_is_refused(kafka_bootstrap: str, topic_prefix: str) -> None:
    with pytest.raises(TopicRefused, match="replicate the partition 3 time"):
        await ensure_topics(kafka_bootstrap, prefix=topic_prefix, environment="production")


async def test_a_setting_kafka_does_not_know_is_refused(kafka_bootstrap: str, topic_prefix: str) -> None:
    wrong = PhysicalTopic(f"{topic_prefix}wrong", 1, 1, {"retention.weeks": "2"})

    async with admin.connect(kafka_bootstrap) as broker:
        with pytest.raises(TopicRefused, match=r"Unknown topic config name: retention\.weeks"):
            await broker.create([wrong])


async def test_a_broker_that_is_not_there_is_said_so(unused_tcp_port: int) -> None:
    with pytest.raises(KafkaAway, match="Kafka cannot be reached"):
        await drift(f"127.0.0.1:{unused_tcp_port}")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str, topic_prefix: str) -> Typer:
    """`funnel topics` on the topics of this test."""
    monkeypatch.setenv("FUNNEL_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("FUNNEL_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("FUNNEL_WAIVE_REPLICATION", "true")
    app = Typer()
    app.command()(topics_command)
    return app


def test_the_command_lists_topics_and_differences(command: Typer, kafka_bootstrap: str, topic_prefix: str) -> None:
    before = CliRunner().invoke(command, ["--check"])
    asyncio.run(ensure_topics(kafka_bootstrap, prefix=topic_prefix, environment="embedded"))
    after = CliRunner().invoke(command, ["--check", "--json"])

    assert before.exit_code == DIFFERS
    assert f"{topic_prefix}lead-events does not exist" in before.stdout
    assert after.exit_code == 0
    shown = json.loads(after.stdout)
    assert shown["differences"] == []
    assert {row["name"]: row["partitions"] for row in shown["topics"]} == {
        topic_prefix + name: topic.partitions for name, topic in declared().items()
    }
    assert {row["records"] for row in shown["topics"]} == {0}


def test_the_command_says_when_kafka_is_away(
    command: Typer, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("FUNNEL_KAFKA_BOOTSTRAP", f"127.0.0.1:{unused_tcp_port}")

    result = CliRunner().invoke(command, [])

    assert result.exit_code == COULD_NOT_ASK
    assert "Kafka cannot be reached" in result.stderr
