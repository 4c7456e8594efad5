"""The checker is a black box: it imports nothing of what it judges, and next to nothing else."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

import pytest

from tests.architecture.markdown import ROOT

FOLDER = ROOT / "chaos" / "checker"
CLIENTS = frozenset({"psycopg", "confluent_kafka"})


def imported() -> Iterator[tuple[str, str]]:
    """(file, module it imports), relative imports included."""
    for path in sorted(FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                yield path.name, "." * node.level + (node.module or "")


def is_allowed(module: str) -> bool:
    top = module.partition(".")[0]
    return f"{module}.".startswith("chaos.checker.") or top in CLIENTS or top in sys.stdlib_module_names


def test_the_checker_imports_the_standard_library_and_two_clients_only() -> None:
    assert [one for one in imported() if not is_allowed(one[1])] == []


def test_no_import_is_hidden_in_a_call() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.rglob("*.py"))}
    assert [name for name, text in texts.items() if "importlib" in text or "__import__" in text] == []


@pytest.mark.parametrize("module", ["funnel.envelope", "services.routing", "tests.support", "chaos.load", "msgspec"])
def test_the_rule_refuses(module: str) -> None:
    assert not is_allowed(module)
