"""The AsyncAPI document is one that a reader can follow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import yaml

from funnel import schemas
from funnel.envelope import outgoing
from funnel.schemas import asyncapi
from funnel.topics import topics

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DOCUMENT: dict[str, Any] = yaml.safe_load(asyncapi.path().read_text(encoding="utf-8"))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for part in node.values():
            yield from references(part)
    elif isinstance(node, list):
        for part in node:
            yield from references(part)


def test_every_topic_is_a_channel_with_its_versions() -> None:
    channels = DOCUMENT["channels"]

    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {name: set(channel["messages"]) for name, channel in channels.items()} == {
        name: set(topic.versions.values()) for name, topic in topics().items()
    }


def test_every_reference_leads_somewhere() -> None:
    for reference in set(references(DOCUMENT)):
        file, _, pointer = reference.partition("#")
        if file:
            assert (asyncapi.path().parent / file).is_file(), reference
        else:
            node = DOCUMENT
            for step in pointer.strip("/").split("/"):
                node = node[step]


def test_the_operations_are_the_parties_of_the_topic_files() -> None:
    operations = {
        (operation["tags"][0]["name"], operation["action"], operation["channel"]["$ref"].rpartition("/")[2])
        for operation in DOCUMENT["operations"].values()
    }

    assert operations == {
        (party, action, name)
        for name, topic in topics().items()
        for action, parties in (("send", topic.producers), ("receive", topic.consumers))
        for party in parties
    }


def test_the_envelope_schema_names_the_headers_we_write() -> None:
    envelope = yaml.safe_load((schemas.folder() / "envelope.schema.json").read_text(encoding="utf-8"))
    record = outgoing(
        "lead-scores", {}, key="l", ce_id="l:1", ce_type="lead.scored", ce_source="scoring", at=NOON, subject="l",
        dataschema="lead_score.v1", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )  # fmt: skip
    written = {name for name, _ in record.headers()}

    assert written <= set(envelope["properties"])
    assert set(envelope["required"]) <= written
