"""The page for senders lists every problem that ingest can answer with, each with its status, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import NamedTuple

import pytest

from services.ingest.domain.kinds import EVENT, OUTCOME
from tests.architecture.markdown import ROOT, tables, text_of

PAGE = "docs/ingest.md"
PREFIX = "urn:funnel:problem:"
SPOKEN_IN = ("services/ingest", "funnel/http")

STATUS_AND_SLUG = {"HttpProblem": (0, 1), "problem": (0, 1), "problem_body": (0, 1), "Refusal": (1, 0)}
"""Where the arguments of whatever makes a problem have its status and its slug."""

PASSED_ON = {
    ("funnel/http/problems.py", "error.slug"),
    ("funnel/http/problems.py", "slug"),
    ("funnel/http/protocol.py", "self.reason"),
    ("services/ingest/wire.py", "problem.slug"),
}
"""Slugs on their way out, which were given to one of the above before or stand in the framework's table."""

VALUES = {"kind.name": (EVENT.name, OUTCOME.name)}
"""What a hole in a slug can be filled with."""


class Problem(NamedTuple):
    """A problem as a client meets it."""

    slug: str
    status: int


@cache
def nodes() -> tuple[tuple[str, ast.AST], ...]:
    """Everything in the code, each with the file it stands in."""
    files = [path for folder in SPOKEN_IN for path in sorted((ROOT / folder).rglob("*.py"))]
    trees = [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in files]
    return tuple((file, node) for file, tree in trees for node in ast.walk(tree))


def made() -> Iterator[tuple[ast.expr, ast.expr]]:
    """The status and the slug of every problem that is made, as they are written."""
    for file, node in nodes():
        places = STATUS_AND_SLUG.get(ast.unparse(node.func)) if isinstance(node, ast.Call) else None
        if isinstance(node, ast.Call) and places is not None:
            assert len(node.args) > max(places), f"{file}:{node.lineno}: give status and slug by position"
            status, slug = (node.args[place] for place in places)
            if (file, ast.unparse(slug)) not in PASSED_ON:
                yield status, slug


def slugs(node: ast.expr) -> list[str]:
    """The slugs that `node` can be."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    assert isinstance(node, ast.JoinedStr), f"cannot tell which slugs {ast.unparse(node)} can be"
    return ["".join(parts) for parts in product(*map(_parts, node.values))]


def _parts(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.FormattedValue):
        return VALUES[ast.unparse(node.value)]
    return (str(ast.literal_eval(node)),)


def of_the_framework() -> Iterator[Problem]:
    """Those of the table of what FastAPI refuses by itself."""
    for _, node in nodes():
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_FRAMEWORK_PROBLEMS":
            found: dict[int, tuple[str, str]] = ast.literal_eval(node.value)
            yield from (Problem(slug, status) for status, (slug, _) in found.items())


def answered() -> set[Problem]:
    by_us = {Problem(one, int(ast.literal_eval(status))) for status, slug in made() for one in slugs(slug)}
    return by_us | set(of_the_framework())


def rows(first: str) -> list[list[str]]:
    """The rows of the tables of the page whose first column is called `first`."""
    return [row for head, *rows in tables(text_of(PAGE)) if head[0] == first for row in rows]


def told() -> list[Problem]:
    return [Problem(row[0].strip("`").removeprefix(PREFIX), int(row[1])) for row in rows("type")]


def test_problems_are_found_wherever_they_are_made() -> None:
    by_hand = {
        Problem("bad-http", 400),  # a refusal of the protocol
        Problem("not-found", 404),  # the framework's
        Problem("key-required", 401),  # raised
        Problem("not-stored", 503),  # made into bytes
        Problem("invalid-outcome", 422),  # from a name filled in
    }
    assert by_hand <= answered()


@pytest.mark.parametrize("problem", sorted(answered() | set(told())), ids=lambda problem: problem.slug)
def test_a_problem_stands_on_the_page_with_its_status_and_is_one_that_is_answered(problem: Problem) -> None:
    assert (problem in told(), problem in answered()) == (True, True)


def test_the_page_names_each_problem_once() -> None:
    assert sorted(set(told())) == sorted(told())


def test_the_page_says_what_to_do_about_the_status_of_each_problem() -> None:
    statuses = {int(status) for row in rows("status") for status in row[0].split(", ") if status.isdigit()}
    assert {problem.status for problem in answered()} - statuses == set()
