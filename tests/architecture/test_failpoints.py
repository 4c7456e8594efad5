"""The list of failpoints and the code agree, and nothing is in the way where they are off."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from funnel.failpoints import COMMAND_LINE, POINTS
from tests.architecture.markdown import ROOT

SERVICES = {path.parent.name for path in (ROOT / "services").glob("*/__init__.py")}
MECHANISM = ROOT / "funnel" / "failpoints.py"


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Every call of `reach` in what is shipped."""
    for folder in ("funnel", "services"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reach":
                    yield path, node


def name_in(call: ast.Call) -> str:
    """The name as it is written there; empty when it is computed."""
    (argument,) = call.args
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else ""


def test_a_name_is_written_out_where_it_is_reached() -> None:
    assert [f"{path}:{call.lineno}" for path, call in calls() if not name_in(call)] == []


def test_every_point_is_in_the_list_and_everything_in_the_list_is_a_point() -> None:
    assert {name_in(call) for _, call in calls()} == POINTS.keys()


def test_a_point_is_one_place_within_a_service() -> None:
    places = Counter((path.relative_to(ROOT).parts[:2], name_in(call)) for path, call in calls())
    assert [place for place, number in places.items() if number > 1] == []


def test_reach_is_a_line_of_its_own() -> None:
    lines = {
        (path, call.lineno): path.read_text(encoding="utf-8").splitlines()[call.lineno - 1] for path, call in calls()
    }
    assert [place for place, line in lines.items() if not line.strip().startswith('reach("')] == []


def test_the_services_of_a_point_exist_and_it_says_what_it_means() -> None:
    known = SERVICES | {COMMAND_LINE}
    assert [name for name, point in POINTS.items() if not point.services or not known.issuperset(point.services)] == []
    assert [name for name, point in POINTS.items() if not point.meaning.endswith(".")] == []


def test_nobody_but_the_mechanism_looks_whether_points_are_armed() -> None:
    """One function decides at import; a call is all that is left elsewhere."""
    readers = [
        path.relative_to(ROOT).as_posix()
        for folder in ("funnel", "services")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != MECHANISM and "FUNNEL_FAILPOINTS" in path.read_text(encoding="utf-8")
    ]
    assert readers == []
