"""The AsyncAPI 3 document of our topics, made from the topic files and pointing at the schemas."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from funnel import schemas
from funnel.topics import Topic

_BINDING: Final = "0.5.0"
_SCHEMAS: Final = "../schemas"
_JSON_SCHEMA: Final = "application/schema+json;version=draft-2020-12"
_HEADER: Final = "# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.\n"

_DESCRIPTION: Final = (
    "Plain JSON values with a CloudEvents envelope in the headers. Unknown fields are to be ignored;"
    " a new version of a schema is listed beside the old one before it is written."
)


def path() -> Path:
    """Where the document lies."""
    return schemas.folder().parent / "docs" / "asyncapi.yaml"


def render(documents: Mapping[str, Mapping[str, Any]], topics: Mapping[str, Topic]) -> str:
    """The document as YAML."""
    content = {
        "asyncapi": "3.0.0",
        "info": {"title": "Lead funnel", "version": "1", "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": {name: _channel(topic, documents) for name, topic in topics.items()},
        "operations": _operations(topics),
    }
    return _HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


def _channel(topic: Topic, documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": topic.description,
        "messages": {name: _message(topic, name, documents[name]) for name in topic.versions.values()},
        "bindings": {"kafka": _kafka_channel(topic)},
    }


def _message(topic: Topic, dataschema: str, document: Mapping[str, Any]) -> dict[str, Any]:
    headers = {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": f"{_SCHEMAS}/envelope.schema.json"}}
    event = f"{_SCHEMAS}/events/{dataschema}.schema.json"
    return {
        "name": dataschema,
        "title": document["title"],
        "summary": document["description"],
        "headers": headers,
        "payload": {"schemaFormat": _JSON_SCHEMA, "schema": {"$ref": event}},
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": _BINDING}},
    }


def _kafka_channel(topic: Topic) -> dict[str, Any]:
    config = topic.broker_config("production")
    return {
        "topic": topic.name,
        "partitions": topic.partitions,
        "replicas": topic.replication["production"].factor,
        "topicConfiguration": {
            "cleanup.policy": config["cleanup.policy"].split(","),
            "retention.ms": int(config["retention.ms"]),
            "max.message.bytes": int(config["max.message.bytes"]),
        },
        "bindingVersion": _BINDING,
    }


def _operations(topics: Mapping[str, Topic]) -> dict[str, Any]:
    """Who sends and who receives: one operation per party and topic."""
    operations = {}
    for name, topic in topics.items():
        for action, parties in (("send", topic.producers), ("receive", topic.consumers)):
            for party in parties:
                key = f"{party.replace(' ', '-')}-{action}-{name}"
                channel = {"$ref": f"#/channels/{name}"}
                operations[key] = {"action": action, "channel": channel, "tags": [{"name": party}]}
    return operations
