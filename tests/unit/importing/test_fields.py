"""The fields a mapping may fill are those of the published schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from funnel.importing.fields import FIELDS, OPEN_FIELDS, CellType, Kind, UnknownFieldError, type_of

SCHEMAS = Path(__file__).parents[3] / "schemas" / "events"

NOT_FROM_A_CELL = {
    Kind.EVENTS: {"event_id", "source", "received_at", "mode", "sent_at", "occurred_at_sent"},
    Kind.OUTCOMES: {"event_id", "source", "received_at", "mode", "voice.tags"},
}
"""Filled by the mapping's id, by ingest, or a list."""

REMEMBERED_BY_BROWSERS = ("context.first_touch.", "context.last_touch.")


def leaves(schema: dict[str, Any], node: dict[str, Any], path: str = "") -> set[str]:
    """Paths of every named member, and `parent.NAME` for open objects."""
    for one in node.get("anyOf", [node]):
        if "$ref" in one:
            one = schema["$defs"][one["$ref"].rpartition("/")[2]]
        if "properties" in one:
            found: set[str] = set()
            for name, member in one["properties"].items():
                found |= leaves(schema, member, f"{path}.{name}" if path else name)
            return found
        if one.get("additionalProperties"):
            return {f"{path}.NAME"}
    return {path}


@pytest.mark.parametrize(("kind", "name"), [(Kind.EVENTS, "lead_event.v2"), (Kind.OUTCOMES, "lead_outcome.v1")])
def test_every_field_of_the_schema_can_be_filled_and_no_other(kind: Kind, name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    fillable = set(FIELDS[kind]) | {f"{parent}.NAME" for parent in OPEN_FIELDS[kind]}
    # Outcomes have no `properties` of their own, but ingest keeps what it does not know.
    in_cells = {leaf for leaf in leaves(schema, schema) if not leaf.startswith(REMEMBERED_BY_BROWSERS)}
    assert fillable - {"properties.NAME"} == in_cells - NOT_FROM_A_CELL[kind] - {"properties.NAME"}


def test_members_of_open_objects_are_named_by_the_mapping() -> None:
    assert type_of(Kind.EVENTS, "properties.業種") is None
    assert type_of(Kind.EVENTS, "properties.a.b") is None
    assert type_of(Kind.EVENTS, "identity.external_ids.crm") is CellType.TEXT


@pytest.mark.parametrize(
    "path", ["identity.external_ids.a.b", "properties", "properties.", "identity", "amount.value", "event_id"]
)
def test_what_is_no_field_of_an_event_is_refused(path: str) -> None:
    with pytest.raises(UnknownFieldError, match=f"events have no field '{path}'"):
        type_of(Kind.EVENTS, path)
