"""Every example, of every version there ever was, is valid and can be read for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from funnel import schemas
from funnel.contracts import LeadAssignment
from funnel.contracts.catalogue import CARRIED, STRUCTS
from funnel.contracts.registry import decode, decoder

EXAMPLES = sorted((schemas.folder() / "examples").rglob("*.json"))

every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: f"{p.parts[-3]}/{p.parts[-2]}/{p.stem}")


def dataschema_of(path: Path) -> str:
    return f"{path.parts[-3]}.v{path.parts[-2]}"


def validator(dataschema: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schemas.documents()[dataschema], validate_formats=True)


@every_example
def test_an_example_is_valid_under_its_schema(path: Path) -> None:
    found = validator(dataschema_of(path)).iter_errors(json.loads(path.read_bytes()))

    assert [f"{error.instance_path}: {error.message}" for error in found] == []


@every_example
def test_an_example_survives_the_way_into_its_struct_and_back(path: Path) -> None:
    dataschema = dataschema_of(path)
    record = decode(path.read_bytes(), dataschema)
    written = msgspec.json.encode(record)

    assert decode(written, dataschema) == record
    validator(dataschema).validate(json.loads(written))


@every_example
def test_writing_an_example_again_loses_no_known_field(path: Path) -> None:
    dataschema = dataschema_of(path)
    document = schemas.documents()[dataschema]
    given = json.loads(path.read_bytes())
    written = json.loads(msgspec.json.encode(decode(path.read_bytes(), dataschema)))

    for name in given.keys() & document["properties"].keys():
        default = document["properties"][name].get("default")
        assert name in written or given[name] in (default, None, ""), name


@every_example
def test_the_topic_that_carries_it_reads_it(path: Path) -> None:
    dataschema = dataschema_of(path)
    topic = next(name for name, carried in CARRIED.items() if dataschema in carried)

    newest = CARRIED[topic][-1]
    record = decoder(topic)(path.read_bytes(), dataschema)

    assert type(record) is STRUCTS[newest]
    assert without_absent(record) == without_absent(decode(path.read_bytes(), dataschema))


def without_absent(record: Any) -> Any:
    """What a record says, whatever version's struct says it."""
    return msgspec.json.decode(msgspec.json.encode(record))


def test_an_assignment_always_shows_all_its_fields() -> None:
    path = schemas.folder() / "examples" / "lead_assignment" / "2" / "minimal.json"
    written = json.loads(msgspec.json.encode(decode(path.read_bytes(), "lead_assignment.v2")))

    assert list(written) == list(LeadAssignment.__struct_fields__)
    assert set(written) == set(schemas.documents()["lead_assignment.v2"]["properties"])


@pytest.mark.parametrize("outcome", ["rejected", "lost", "recycled", "disqualified"])
def test_some_outcomes_need_a_reason(outcome: str) -> None:
    check = validator("lead_outcome.v1")

    assert check.is_valid({"type": outcome, "lead_id": "l", "reason": "price"})
    assert not check.is_valid({"type": outcome, "lead_id": "l"})
    assert not check.is_valid({"type": outcome, "lead_id": "l", "reason": None})


@pytest.mark.parametrize("value", ["1,200", "1e3", "-1", "1.", ".5", "", "NaN", "1\n", "１２００"])
def test_an_amount_is_a_plain_decimal(value: str) -> None:
    outcome = {"type": "won", "lead_id": "l", "amount": {"value": value, "currency": "JPY"}}

    assert not validator("lead_outcome.v1").is_valid(outcome)


@pytest.mark.parametrize("type_", ["Form.submitted", "1st", "form submitted", "form.submitted\n", "", "フォーム"])
def test_an_event_type_is_lower_case_words_with_dots(type_: str) -> None:
    event = json.loads((schemas.folder() / "examples" / "lead_event" / "2" / "minimal.json").read_bytes())

    assert not validator("lead_event.v2").is_valid({**event, "type": type_})
