"""Writes what follows from `schemas/`: `python -m funnel.schemas.generate [--check | --publish]`.

It writes the Python types (`funnel/contracts`) and the AsyncAPI document (`docs/asyncapi.yaml`). With `--check`
nothing is written, and the exit code is 1 when a file differs from what it should be or a published schema was
changed. With `--publish` the versions that `schemas/published.json` does not know yet are locked for ever.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from funnel import schemas
from funnel.schemas import asyncapi, published, structs
from funnel.topics import Topic, topics

CONTRACTS: Final = Path(__file__).parents[1] / "contracts"
HEADER: Final = "# Generated from schemas/ by `python -m funnel.schemas.generate`; do not edit.\n"

_EMPTY_IS_ABSENT: Final = "x-empty-is-absent"


def render() -> dict[Path, str]:
    """Every file that follows from `schemas/`, and its text."""
    documents = schemas.documents()
    modules = structs.render(documents)
    modules["__init__"] = _init(modules, documents)
    modules["catalogue"] = _catalogue(documents, topics())
    written = {CONTRACTS / f"{name}.py": _formatted(HEADER + text) for name, text in modules.items()}
    return {**written, asyncapi.path(): asyncapi.render(documents, topics())}


def _init(modules: Mapping[str, str], documents: Mapping[str, Any]) -> str:
    """Every class and alias once, the newest version where there are several."""
    home: dict[str, str] = {}
    for module in (structs.PARTS, *map(structs.module_name, documents)):
        defined = re.finditer(r"^(?:class )?([A-Z]\w+)(?:\(Struct|: TypeAlias)", modules[module], re.MULTILINE)
        home |= {match[1]: module for match in defined}
    imports = "".join(f"from funnel.contracts.{home[name]} import {name}\n" for name in sorted(home))
    docstring = "What is on our topics: the newest version of each record, older ones in their own modules."
    return f'"""{docstring}"""\n\n{imports}\n__all__ = {sorted(home)!r}\n'


def _catalogue(documents: Mapping[str, Mapping[str, Any]], carried: Mapping[str, Topic]) -> str:
    """Which struct reads which schema, and which schemas a topic carries."""
    imports = "".join(f"from funnel.contracts import {structs.module_name(name)}\n" for name in documents)
    reads = ", ".join(f"{name!r}: {structs.module_name(name)}.{documents[name]['title']}" for name in documents)
    names = {topic.name: tuple(topic.versions.values()) for topic in carried.values()}
    alone = {topic.name: topic.versions[topic.body_alone] for topic in carried.values() if topic.body_alone}
    instants = {name: _instants(document) for name, document in documents.items()}
    lenient = sorted(name for name, document in documents.items() if document.get(_EMPTY_IS_ABSENT))
    return f'''"""What `schemas/` says, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

{imports}

STRUCTS: Final[Mapping[str, type[Struct]]] = {{{reads},}}
"""Schema -> the struct that reads it."""

CARRIED: Final[Mapping[str, tuple[str, ...]]] = {names!r}
"""Topic -> the schemas of its records."""

BODY_ALONE: Final[Mapping[str, str]] = {alone!r}
"""Topic that others may write without our headers -> the schema assumed then."""

INSTANTS: Final[Mapping[str, tuple[str, ...]]] = {instants!r}
"""Schema -> its fields that are times; `consent.at` is one of a part."""

EMPTY_IS_ABSENT: Final = frozenset({lenient!r})
"""Schemas that clients write, where `""` and null stand for an absent field."""
'''


def _instants(document: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(_times_in(document, document.get("$defs", {})))


def _times_in(schema: Mapping[str, Any], parts: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Paths of the times in an object and in its parts, not in lists of parts."""
    for name, field in schema.get("properties", {}).items():
        if field.get("format") == "date-time":
            yield within + name
        for reference in (one["$ref"] for one in (field, *field.get("anyOf", ())) if "$ref" in one):
            yield from _times_in(parts[reference.rpartition("/")[2]], parts, f"{within}{name}.")


def _formatted(text: str) -> str:
    check = ["check", "--quiet", "--fix-only", "--select", "F401,I,UP,RUF022"]
    for arguments in (check, ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(CONTRACTS / "any.py"), "-"]
        text = subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
    return text


def drift(wanted: Mapping[Path, str]) -> list[str]:
    """One sentence per file that is missing, differs, or is a leftover of a schema that is gone."""
    found = []
    for path, text in wanted.items():
        if not path.exists():
            found.append(f"{path} is missing; run `make schemas`")
        elif path.read_text(encoding="utf-8") != text:
            found.append(f"{path} differs from what schemas/ says; run `make schemas`")
    ours = {path for path in CONTRACTS.glob("*.py") if path.read_text(encoding="utf-8").startswith(HEADER)}
    return found + [f"{path} belongs to no schema; delete it" for path in sorted(ours - wanted.keys())]


def main() -> int:
    """Write the files; with `--check` compare them; with `--publish` lock new versions as well."""
    parser = argparse.ArgumentParser(prog="python -m funnel.schemas.generate")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check", action="store_true", help="write nothing; exit 1 when something is out of date")
    modes.add_argument("--publish", action="store_true", help="lock the versions that are not locked yet")
    options = parser.parse_args()
    broken = published.broken(schemas.folder())
    wanted = render()
    if options.check:
        broken += drift(wanted)
    elif not broken:
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
        if options.publish:
            published.lock(schemas.folder())
    sys.stderr.writelines(f"{sentence}\n" for sentence in broken)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
