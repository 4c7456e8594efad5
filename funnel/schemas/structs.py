"""JSON Schemas to msgspec structs, by datamodel-code-generator.

Before it, each schema is reduced to what a struct can hold: no prose, no conditional rules. After it, absent
fields become None: null means absent to us, so a third value would only be a trap.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from funnel import schemas

PARTS: Final = "parts"
"""The module of what several schemas have in common, word for word."""

WRITE_DEFAULTS: Final = "x-write-defaults"
"""In a schema: its records always show every field, for the people who read them."""

_STRUCT_OPTIONS: Final = {"frozen": True, "omit_defaults": True, "gc": False}
_NOT_IN_A_STRUCT: Final = frozenset({"if", "then", "else", "description", "$id"})
_DOCSTRING_WIDTH: Final = 105


def module_name(dataschema: str) -> str:
    """`lead_event.v1` -> `lead_event_v1`."""
    return dataschema.replace(".", "_")


def render(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Module name -> text of the modules that hold the structs of `documents`. Runs the generator."""
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "schemas"), Path(scratch, "structs")
        source.mkdir()
        for dataschema, reduced in _named_apart({name: _reduce(document) for name, document in documents.items()}):
            (source / f"{module_name(dataschema)}.json").write_text(json.dumps(reduced), encoding="utf-8")
        _run_generator(source, target)
        written = {path.stem: path.read_text(encoding="utf-8") for path in sorted(target.glob("*.py"))}
    del written["__init__"]
    shown_whole = [document["title"] for document in documents.values() if document.get(WRITE_DEFAULTS)]
    return {module: _finish(text, shown_whole) for module, text in written.items()}


def _reduce(schema: Mapping[str, Any]) -> dict[str, Any]:
    reduced = {key: _reduce_value(key, value) for key, value in schema.items() if key not in _NOT_IN_A_STRUCT}
    if "properties" in schema and "description" in schema:
        reduced["description"] = schema["description"]  # becomes the class's docstring
    if schema.get("format") == "date-time":
        del reduced["format"]
        reduced["customTypePath"] = "funnel.contracts.instants.Instant"
    return _without_null(reduced)


def _named_apart(documents: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The documents, with a name of its own for each part that several of them share.

    What is shared goes into one module, where the generator silently drops one of two variants with the same name. So
    `Touch` is the newest variant, `TouchV1` the one that the first versions share.
    """
    users: dict[tuple[str, str], list[str]] = {}
    for dataschema, document in documents.items():
        for name, part in document.get("$defs", {}).items():
            users.setdefault((name, json.dumps(part, sort_keys=True)), []).append(dataschema)
    variants: dict[str, list[list[str]]] = {}
    for (name, _), found in users.items():
        if len(found) > 1:
            variants.setdefault(name, []).append(found)
    new_names: dict[str, dict[str, str]] = {dataschema: {} for dataschema in documents}
    for name, groups in variants.items():
        groups.sort(key=lambda found: max(schemas.split(dataschema)[1] for dataschema in found))
        for number, group in enumerate(groups[:-1], start=1):
            for dataschema in group:
                new_names[dataschema][name] = f"{name}V{number}"
    for dataschema, document in documents.items():
        yield dataschema, _renamed(document, new_names[dataschema])


def _renamed(document: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    text = json.dumps(document)
    for old, new in names.items():
        text = text.replace(f'"#/$defs/{old}"', f'"#/$defs/{new}"')
    renamed: dict[str, Any] = json.loads(text)
    if names:
        renamed["$defs"] = {names.get(name, name): part for name, part in renamed["$defs"].items()}
    return renamed


def _reduce_value(key: str, value: Any) -> Any:
    if key in {"properties", "$defs"}:
        return {name: _reduce(part) for name, part in value.items()}
    if key == "anyOf":
        return [_reduce(part) for part in value]
    if isinstance(value, Mapping):
        return _reduce(value)
    return value


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A field that may be null is simply not required: absent and null are the same to us."""
    if isinstance(schema.get("type"), list):
        (schema["type"],) = (kind for kind in schema["type"] if kind != "null")
    if "anyOf" in schema:
        (only,) = (part for part in schema.pop("anyOf") if part.get("type") != "null")
        schema = {**schema, **only}
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    return schema


def _run_generator(source: Path, target: Path) -> None:
    options = {"#all#": {"base_class_kwargs": _STRUCT_OPTIONS}}
    command = [
        *(sys.executable, "-m", "datamodel_code_generator", "--ignore-pyproject"),
        *("--input", str(source), "--input-file-type", "jsonschema", "--output", str(target)),
        *("--output-model-type", "msgspec.Struct", "--keyword-only", "--target-python-version", "3.11"),
        *("--use-title-as-name", "--use-schema-description", "--use-double-quotes", "--use-union-operator"),
        *("--use-annotated", "--enum-field-as-literal", "all", "--strict-nullable"),
        *("--reuse-model", "--reuse-scope", "tree", "--shared-module-name", PARTS),
        *("--disable-timestamp", "--formatters", "builtin", "--extra-template-data", json.dumps(options)),
    ]
    subprocess.run(command, check=True)


def _finish(text: str, shown_whole: list[str]) -> str:
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    text = text.replace("from msgspec import UNSET, ", "from msgspec import ").replace(", UnsetType", "")
    text = re.sub(r"\| UnsetType(\s*\)? = \(?\s*)UNSET\b", r"| None\1None", text)
    text = re.sub(r"\s*\| UnsetType", "", text)
    text = re.sub(r'"""\n    (.*)\n    """', _docstring, text)
    for name in shown_whole:
        text = re.sub(rf"^(class {name}\(.*)omit_defaults=True, ", r"\1", text, flags=re.MULTILINE)
    return text


def _docstring(match: re.Match[str]) -> str:
    first, *more = textwrap.wrap(match[1], _DOCSTRING_WIDTH - 6)
    return "\n    ".join([f'"""{first}', *more, '"""']) if more else f'"""{first}"""'
