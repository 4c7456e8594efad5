"""The registry of rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaos import faults
from chaos.checker import Verdict
from chaos.errors import ChaosError
from chaos.faults import all_rows, alone, chosen, impossible, row
from chaos.profile import Profile
from chaos.run import Run


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> dict[str, faults.Row]:
    rows: dict[str, faults.Row] = {}
    monkeypatch.setattr(faults, "ROWS", rows)
    return rows


async def fault(run: Run) -> None:
    """Nothing is broken."""


async def program(folder: Path, profile: Profile, seed: int, say: Callable[[str], None]) -> tuple[Verdict, int, str]:
    """Nothing is broken here either."""
    raise NotImplementedError


def test_a_row_keeps_what_it_asks_for(empty: dict[str, faults.Row]) -> None:
    assert row(14, "slow", part="b", needs=("proxies",), replicas={"scoring": 2}, events=7)(fault) is fault
    kept = empty["14b"]
    assert (kept.number, kept.title, kept.fault, kept.replicas, kept.events) == (14, "slow", fault, {"scoring": 2}, 7)


def test_a_row_that_cannot_be_made_has_a_reason(empty: dict[str, faults.Row]) -> None:
    impossible(15, "late EndTxn", "no transactions are used")
    assert (empty["15"].fault, empty["15"].reason) == (None, "no transactions are used")


def test_a_row_may_be_a_program_of_its_own(empty: dict[str, faults.Row]) -> None:
    assert alone(2, "every point", part="a")(program) is program
    assert (empty["2a"].fault, empty["2a"].program, empty["2a"].reason) == (None, program, "")


def test_two_rows_of_one_number_need_different_parts(empty: dict[str, faults.Row]) -> None:
    row(14, "slow")(fault)
    with pytest.raises(ChaosError, match="14 is registered twice"):
        row(14, "cut")(fault)


def test_rows_are_chosen_by_number_or_by_key(empty: dict[str, faults.Row]) -> None:
    for number, part in ((1, ""), (14, "a"), (14, "b")):
        row(number, "x", part=part)(fault)
    rows = list(empty.values())
    assert [one.key for one in chosen(rows, [])] == ["1", "14a", "14b"]
    assert [one.key for one in chosen(rows, ["14"])] == ["14a", "14b"]
    assert [one.key for one in chosen(rows, ["14b", "1"])] == ["1", "14b"]
    with pytest.raises(ChaosError, match="no row 4"):
        chosen(rows, ["4"])


def test_every_row_of_the_matrix_is_in_order_and_can_be_run_or_says_why_not() -> None:
    rows = all_rows()
    assert {"7a", "7b", "8", "10a", "10b", "12a", "12b", "12c"} <= {one.key for one in rows}
    assert [one.number for one in rows] == sorted(one.number for one in rows)
    assert [one.key for one in rows if [bool(one.fault), bool(one.program), bool(one.reason)].count(True) != 1] == []
