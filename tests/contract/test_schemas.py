"""The schemas folder says everything, once, and its files agree with each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from funnel import schemas
from funnel.contracts import catalogue
from funnel.topics import topics

ROOT = schemas.folder()
DOCUMENTS = schemas.documents()
OUTSIDERS = {"sales tools", "auditors"}

every_schema = pytest.mark.parametrize("name", DOCUMENTS)


def fields(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every declared field of a schema and of its parts, with its path."""
    document = DOCUMENTS[name]
    for owner, schema in {name: document, **document["$defs"]}.items():
        assert schema["description"], owner
        for field, declared in schema.get("properties", {}).items():
            yield f"{owner}.{field}", declared


@every_schema
def test_a_schema_is_valid_json_schema(name: str) -> None:
    document = DOCUMENTS[name]

    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(document)


@every_schema
def test_a_schema_names_itself_after_its_file_and_its_class(name: str) -> None:
    document = DOCUMENTS[name]
    words, _ = schemas.split(name)

    assert document["$id"] == f"urn:funnel:schema:{name}"
    assert document["title"] == "".join(word.capitalize() for word in words.split("_"))
    assert document["description"]


@every_schema
def test_every_field_says_what_it_means(name: str) -> None:
    assert [path for path, field in fields(name) if not field.get("description")] == []


@every_schema
def test_a_schema_is_open_to_fields_that_come_later(name: str) -> None:
    text = (ROOT / "events" / f"{name}.schema.json").read_text(encoding="utf-8")

    assert not re.search(r'"(additional|unevaluated)Properties": false', text)


def test_versions_are_numbered_from_1_without_gaps() -> None:
    versions: dict[str, list[int]] = {}
    for name in DOCUMENTS:
        words, version = schemas.split(name)
        versions.setdefault(words, []).append(version)

    assert versions == {words: list(range(1, len(found) + 1)) for words, found in versions.items()}


def test_every_schema_is_carried_by_a_topic_and_every_carried_schema_exists() -> None:
    carried = [name for topic in topics().values() for name in topic.versions.values()]

    assert sorted(carried) == sorted(DOCUMENTS)


def test_a_topic_lists_each_schema_under_its_version() -> None:
    for topic in topics().values():
        assert {schemas.split(name)[1]: name for name in topic.versions.values()} == topic.versions
        assert len({schemas.split(name)[0] for name in topic.versions.values()}) == 1


def test_every_version_has_examples_and_every_example_a_version() -> None:
    folders = {path for path in (ROOT / "examples").glob("*/*") if any(path.glob("*.json"))}
    files = {path for path in (ROOT / "examples").rglob("*") if path.is_file()}

    assert {f"{path.parent.name}.v{path.name}" for path in folders} == set(DOCUMENTS)
    assert {path for path in files if path.suffix != ".json" or path.parent not in folders} == set()


@every_schema
def test_a_version_has_a_minimal_example_and_others(name: str) -> None:
    words, version = schemas.split(name)
    examples = {path.stem for path in (ROOT / "examples" / words / str(version)).glob("*.json")}

    assert any(example.startswith("minimal") for example in examples)
    assert len(examples) >= 3


@every_schema
def test_the_examples_together_show_every_field(name: str) -> None:
    words, version = schemas.split(name)
    folder = ROOT / "examples" / words / str(version)
    shown = {key for path in folder.glob("*.json") for key in json.loads(path.read_text(encoding="utf-8"))}

    assert set(DOCUMENTS[name]["properties"]) - shown == set()


def test_examples_name_nobody_real() -> None:
    for path in (ROOT / "examples").rglob("*.json"):
        domains = re.findall(r"[@/]([\w.-]+\.[a-z]{2,})\b", path.read_text(encoding="utf-8"))
        assert {d for d in domains if not re.fullmatch(r"(.+\.)?example\.(com|jp)", d)} == set(), path


def test_topic_names_are_kebab_case_plurals() -> None:
    assert [name for name in topics() if not re.fullmatch(r"[a-z]+(-[a-z]+)*s", name)] == []


def test_the_parties_of_a_topic_are_services_or_known_outsiders() -> None:
    services = {path.parent.name for path in Path(ROOT.parent, "services").glob("*/__main__.py")}
    named = {party for topic in topics().values() for party in (*topic.producers, *topic.consumers)}

    assert named - services - OUTSIDERS == set()
    assert services - named == set()


def test_topics_that_hold_personal_data_forget_after_14_days() -> None:
    personal = {name for name, document in DOCUMENTS.items() if holds_contact_data(document)}

    for topic in topics().values():
        assert topic.config["cleanup.policy"] == "delete"
        if personal & set(topic.versions.values()):
            assert topic.retention_days == 14, topic.name


def holds_contact_data(document: dict[str, Any]) -> bool:
    return bool({"Identity", "Person", "Contact", "Voice"} & document["$defs"].keys())


def test_parts_of_one_name_are_the_same_in_all_newest_versions() -> None:
    newest = {schemas.split(name)[0]: document for name, document in DOCUMENTS.items()}  # versions come in order
    texts: dict[str, set[str]] = {}
    for document in newest.values():
        for name, part in document["$defs"].items():
            texts.setdefault(name, set()).add(json.dumps(part, sort_keys=True))

    assert [name for name, variants in texts.items() if len(variants) > 1] == []


def test_the_catalogue_has_a_struct_for_every_schema() -> None:
    assert {name: struct.__name__ for name, struct in catalogue.STRUCTS.items()} == {
        name: document["title"] for name, document in DOCUMENTS.items()
    }
