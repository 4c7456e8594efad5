"""The house is laid out as its rules say, including what the import linter cannot see."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.markdown import ROOT, tables

SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/__init__.py"))
MAIN_LINES_MAX = 15
CODE = ("funnel", "services", "bench", "chaos")
EMPTY_NAMES = frozenset({"utils", "util", "common", "helpers", "helper", "misc", "shared", "stuff"})
DRIVERS = {
    "aiokafka": "funnel/kafka",
    "asyncpg": "funnel/postgres",
    "confluent_kafka": "nowhere: it is the tests' independent client",
}


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def contracts() -> dict[str, dict[str, Any]]:
    """The import linter's rules, by name."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {rule["name"]: rule for rule in config["tool"]["importlinter"]["contracts"]}


def test_a_service_has_a_folder_that_can_be_run() -> None:
    assert [name for name in SERVICES if not (ROOT / "services" / name / "__main__.py").exists()] == []


def test_the_import_rules_name_every_service() -> None:
    rules = contracts()
    apart, inside = (
        rules["services stand on funnel and do not know each other"],
        rules["inside a service the layers only look down"],
    )
    assert sorted(apart["layers"][0].split(" | ")) == [f"services.{name}" for name in SERVICES]
    assert sorted(inside["containers"]) == [f"services.{name}" for name in SERVICES]
    assert sorted(rules["domains are pure"]["source_modules"]) == [f"services.{name}.domain" for name in SERVICES]


def imports() -> Iterator[tuple[str, str]]:
    """(module file, top-level name it imports) of everything that is shipped."""
    for path in modules("funnel", "services"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                yield path.relative_to(ROOT).as_posix(), name.partition(".")[0]


@pytest.mark.parametrize(("driver", "home"), DRIVERS.items())
def test_a_driver_is_imported_in_one_place_only(driver: str, home: str) -> None:
    assert [path for path, name in imports() if name == driver and not path.startswith(f"{home}/")] == []


@pytest.mark.parametrize("main", [path for path in modules(*CODE) if path.name == "__main__.py"], ids=str)
def test_a_main_has_only_a_few_lines_of_code(main: Path) -> None:
    lines = [line.strip() for line in main.read_text(encoding="utf-8").splitlines()]
    assert len([line for line in lines if line and not line.startswith("#")]) <= MAIN_LINES_MAX


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = {path.stem: path for path in modules(*CODE, "tests")} | {p.parent.name: p for p in modules(*CODE, "tests")}
    assert EMPTY_NAMES & named.keys() == set()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_what_comes_in_what_goes_out_and_what_it_owns(name: str) -> None:
    text = (ROOT / "services" / name / "README.md").read_text(encoding="utf-8")
    firsts = {row[0].strip("* ").lower() for table in tables(text) for row in table}
    told = firsts | {line.strip("# ").lower() for line in text.splitlines() if line.startswith("#")}
    missing = [what for what in ("comes in", "goes out", "owns") if not any(what in one for one in told)]
    assert missing == []
