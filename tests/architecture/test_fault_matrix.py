"""The page of the fault matrix tells of every row, and every fault has a row or a reason."""

from __future__ import annotations

import inspect

from chaos.faults import all_rows
from chaos.page import PLACE, missing, page
from tests.architecture.markdown import ROOT


def test_the_page_is_made_from_the_rows() -> None:
    told = (ROOT / PLACE).read_text(encoding="utf-8")
    assert told == page(all_rows()), f"run `python -m chaos --matrix > {PLACE}`"


def test_every_fault_has_a_row_or_a_reason() -> None:
    assert missing(all_rows()) == []


def test_every_row_says_what_must_hold() -> None:
    assert [row.key for row in all_rows() if row.fault and not inspect.getdoc(row.fault)] == []
