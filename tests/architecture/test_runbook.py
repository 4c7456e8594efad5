"""The runbook quotes sentences that the code says, and every one of those that need a person."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.architecture.markdown import ROOT, tables, text_of

HOLE = "\x00"
"""Stands for what is filled in at run time."""

FOR_A_PERSON = frozenset({"UnsafeSettings", "PartitionStopped", "Stalled"})


@cache
def spoken() -> tuple[str, ...]:
    """Every text in the code, with a hole for each value."""
    return tuple(text for path in _files() for node in ast.walk(_tree(path)) if (text := _text(node)))


def _files() -> list[str]:
    return [str(path) for folder in ("funnel", "services") for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def _tree(path: str) -> ast.Module:
    with open(path, encoding="utf-8") as file:
        return ast.parse(file.read())


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or HOLE for part in node.values)
    return ""


def quoted() -> list[str]:
    """The sentences of the runbook, `…` for each value."""
    found = []
    for head, *rows in tables(text_of("docs/operations.md")):
        column = next((head.index(name) for name in ("sentence", "reason") if name in head), None)
        if column is not None:
            found += [span for row in rows for span in re.findall(r"`([^`]+)`", row[column])]
    return found


def _says(text: str, sentence: str) -> bool:
    """Whether `text` contains what stands between the `…` of `sentence`, in order."""
    return re.search(".*?".join(map(re.escape, sentence.split("…"))), text, re.DOTALL) is not None


@pytest.mark.parametrize("sentence", quoted())
def test_a_quoted_sentence_is_one_that_the_code_says(sentence: str) -> None:
    assert any(_says(text, sentence) for text in spoken())


def for_a_person() -> Iterator[str]:
    """Texts given to the errors that need a person, and to a cursor's `stopped`."""
    for path in _files():
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else ""
                said = node.args[:1] if called in FOR_A_PERSON else []
                said += [keyword.value for keyword in node.keywords if keyword.arg == "stopped"]
                yield from filter(None, map(_text, said))


def test_there_are_such_sentences() -> None:
    assert len(list(for_a_person())) > 10


@pytest.mark.parametrize("text", sorted(set(for_a_person())))
def test_a_sentence_that_needs_a_person_is_in_the_runbook(text: str) -> None:
    assert any(_says(text, sentence) for sentence in quoted())
