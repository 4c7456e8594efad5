"""The mutations fit the code as it is, and their page tells of all of them. Whether tests notice: `make mutants`."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from chaos.mutations import table
from chaos.mutations.catalogue import ALL, AREAS
from chaos.mutations.command import is_of
from chaos.mutations.mutation import DoesNotApply, Edit, Mutation
from chaos.mutations.trial import Verdict, digest, read_report, snapshot
from tests.architecture.markdown import ROOT


@pytest.mark.parametrize("mutation", ALL, ids=lambda one: one.name)
def test_a_mutation_fits_the_code_and_names_a_test(mutation: Mutation) -> None:
    for file, text in mutation.mutated(ROOT).items():
        assert text != (ROOT / file).read_text(encoding="utf-8")
    mutation.check_test(ROOT)


def test_each_safeguard_has_a_name_of_its_own() -> None:
    assert len({one.name for one in ALL}) == len({one.safeguard for one in ALL}) == len(ALL)


def test_the_page_is_made_from_the_list() -> None:
    page = (ROOT / table.PLACE).read_text(encoding="utf-8")
    assert page == table.page(AREAS), "run `python -m chaos.mutations --write`"


def mutation(*edits: Edit, test: str = "test_it.py::test_it") -> Mutation:
    return Mutation("name", "It holds.", "it", "It does not.", edits, test)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "code.py").write_text("a = 1\nb = 1\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Edit("code.py", " = ", " == "), "code.py: found 2 times"),
        (Edit("code.py", "c = 1", ""), "code.py: found 0 times"),
        (Edit("gone.py", "a", "b"), "there is no file gone.py"),
        (Edit("code.py", "a = 1", "a ="), "code.py would be no Python"),
    ],
)
def test_a_mutation_that_does_not_fit_says_where_and_changes_nothing(tree: Path, edit: Edit, words: str) -> None:
    before = digest(tree)
    with pytest.raises(DoesNotApply, match=words):
        mutation(Edit("code.py", "b = 1", "b = 2"), edit).apply(tree)
    assert digest(tree) == before


def test_all_edits_of_a_mutation_are_made(tree: Path) -> None:
    before = digest(tree)
    mutation(Edit("code.py", "a = 1", "a = 2"), Edit("code.py", "b = 1", "b = 3")).apply(tree)
    assert (tree / "code.py").read_text(encoding="utf-8") == "a = 2\nb = 3\n"
    assert digest(tree) != before


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("test_gone.py::test_it", "no file test_gone.py"),
        ("test_it.py::test_other", "no test test_other"),
        ("test_it.py", "no test"),
    ],
)
def test_a_test_that_is_gone_is_named(tree: Path, test: str, words: str) -> None:
    with pytest.raises(DoesNotApply, match=words):
        mutation(test=test).check_test(tree)


def test_a_copy_has_the_code_and_no_environment(tmp_path: Path) -> None:
    copy = snapshot(tmp_path / "copy")
    assert (copy / "funnel" / "spine" / "loop.py").is_file()
    assert not (copy / ".venv").exists()
    assert not (copy / ".git").exists()


@pytest.mark.parametrize(
    ("cases", "code", "verdict"),
    [
        ('<testcase classname="tests.a" name="x"/>', 0, Verdict.GREEN),
        ('<testcase classname="tests.a" name="x"><failure message="assert 1 == 2"/></testcase>', 1, Verdict.RED),
        ('<testcase classname="tests.a" name="x"><error message="no server"/></testcase>', 1, Verdict.BROKEN),
        ('<testcase classname="tests.a" name="x"><skipped message="no browser"/></testcase>', 0, Verdict.BROKEN),
        ('<testcase classname="tests.a" name="x"><failure message="NameError: y"/></testcase>', 1, Verdict.BROKEN),
        ('<testcase classname="" name="tests.a"><error message="ImportError"/></testcase>', 2, Verdict.BROKEN),
        ("", 4, Verdict.BROKEN),
    ],
)
def test_only_a_failed_assertion_is_red(tmp_path: Path, cases: str, code: int, verdict: Verdict) -> None:
    """What cannot be set up or is skipped says nothing about the safeguard."""
    report = tmp_path / "report.xml"
    report.write_text(dedent(f"<testsuites><testsuite>{cases}</testsuite></testsuites>"), encoding="utf-8")
    outcome = read_report(report, code, "what pytest said", 1.0)
    assert outcome.verdict is verdict
    if verdict is Verdict.RED:
        assert (outcome.failed, outcome.message) == ("tests/a.py::x", "assert 1 == 2")


def test_a_run_that_left_no_report_is_not_red(tmp_path: Path) -> None:
    outcome = read_report(tmp_path / "none.xml", 2, "ImportError: no module", 1.0)
    assert (outcome.verdict, outcome.message) == (Verdict.BROKEN, "ImportError: no module")


@pytest.mark.parametrize("node", ["tests/a.py", "tests/a.py::test_x", "tests/a.py::test_x[1]", "tests"])
def test_a_case_belongs_to_the_node_that_names_it(node: str) -> None:
    assert is_of("tests/a.py::test_x[1]", node)


def test_cases_of_another_name_do_not() -> None:
    assert not is_of("tests/a.py::test_xy[1]", "tests/a.py::test_x")
