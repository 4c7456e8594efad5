"""The tables of ingest and the schemas of its records say the same."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from funnel.schemas import documents, folder
from services.ingest.domain.acceptance import Accepted, Refused
from services.ingest.domain.kinds import EVENT, OUTCOME, Kind
from tests.unit.ingest.given import LEAD_ID, accepted, an_event, an_outcome, judge

SET_BY_INGEST = {"source", "received_at", "mode", "occurred_at_sent"}
MISFIT = {"a": ["value", "no", "field", "takes"]}


def fields_of(schema: Mapping[str, Any], root: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Pointer -> schema of every field below `schema` that is no object of named fields itself."""
    found: dict[str, Any] = {}
    for name, part in schema["properties"].items():
        resolved = resolve(part, root)
        if "properties" in resolved:
            found |= fields_of(resolved, root, f"{at}/{name}")
        else:
            found[f"{at}/{name}"] = resolved
    return found


def resolve(part: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    for option in (part, *part.get("anyOf", ())):
        if "$ref" in option:
            target: Mapping[str, Any] = root["$defs"][option["$ref"].removeprefix("#/$defs/")]
            return target
    return part


def placed(pointer: str, value: Any) -> dict[str, Any]:
    """`value` at `pointer`, inside as many objects as that takes."""
    names = pointer.removeprefix("/").split("/")
    for name in reversed(names):
        value = {name: value}
    outer: dict[str, Any] = value
    return outer


@pytest.mark.parametrize("kind", [EVENT, OUTCOME], ids=lambda kind: kind.name)
def test_ingest_checks_every_field_of_the_schema(kind: Kind) -> None:
    document = documents()[kind.dataschema]
    least = an_event() if kind is EVENT else an_outcome()
    unchecked = []
    for pointer in fields_of(document, document):
        if pointer.removeprefix("/") in SET_BY_INGEST or pointer == "/properties":
            continue  # the second takes any object
        verdict = judge(least | placed(pointer, MISFIT), kind)
        if not isinstance(verdict, Refused) or not any(f.pointer.startswith(pointer) for f in verdict.faults):
            unchecked.append(pointer)
    assert unchecked == []


@pytest.mark.parametrize("kind", [EVENT, OUTCOME], ids=lambda kind: kind.name)
def test_the_examples_of_the_schema_are_accepted_and_stored_as_the_schema_says(kind: Kind) -> None:
    name, _, version = kind.dataschema.partition(".v")
    validator = jsonschema_rs.validator_for(documents()[kind.dataschema])
    examples = sorted((folder() / "examples" / name / version).glob("*.json"))
    assert examples
    for example in examples:
        sent = json.loads(example.read_text(encoding="utf-8"))
        verdict = judge(sent.get("value", sent), kind)
        assert isinstance(verdict, Accepted), (example.name, verdict)
        validator.validate(json.loads(verdict.value))


def test_a_full_event_is_stored_as_the_schema_says() -> None:
    validator = jsonschema_rs.validator_for(documents()[EVENT.dataschema])
    event = an_event(
        occurred_at="2030-01-01T00:00:00+09:00",
        person={"name": "Jane", "employees": 7, "message": ""},
        context={"utm": {"source": None}, "click_ids": {"gclid": "x"}},
        properties={"a": [1.5, None]},
        consent={"email": False, "sms": True, "at": "2026-11-01T00:00:00Z", "text": "はい", "basis": "consent"},
        sent_at="2030-01-01T00:00:01+09:00",
    )
    event["context"]["last_touch"] = {"at": "2026-11-01T00:00:00+09:00", "utm": {"source": "x"}, "landing_url": "/?a=b"}
    validator.validate(json.loads(accepted(event).value))


def test_the_typed_way_knows_the_fields_of_the_schema_and_no_others() -> None:
    """The readers follow from the same table; so an event with all fields takes the typed way."""
    document = documents()[EVENT.dataschema]
    assert EVENT.typed is not None
    assert fields_of_struct(EVENT.typed.type) == set(fields_of(document, document)) - {f"/{n}" for n in SET_BY_INGEST}


def fields_of_struct(struct: type[msgspec.Struct], at: str = "") -> set[str]:
    """Pointers of every field below `struct` that is no struct itself."""
    found: set[str] = set()
    for field in msgspec.structs.fields(struct):
        options = (field.type, *typing.get_args(field.type))
        inner = [one for one in options if isinstance(one, type) and issubclass(one, msgspec.Struct)]
        found |= fields_of_struct(inner[0], f"{at}/{field.name}") if inner else {f"{at}/{field.name}"}
    return found


def test_a_full_outcome_is_stored_as_the_schema_says() -> None:
    validator = jsonschema_rs.validator_for(documents()[OUTCOME.dataschema])
    outcome = an_outcome(
        type="lost",
        reason="price",
        meeting_at="2030-01-01T00:00:00+09:00",
        assignment_id=LEAD_ID,
        epoch=1,
        amount={"value": "0", "currency": "JPY"},
        voice={"text": "", "about": "company", "tags": [None, "x"]},
    )
    validator.validate(json.loads(accepted(outcome, OUTCOME).value))
