"""The report: kept row by row, continued, and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaos.report import Ending, Report, Result, markdown, totals


def result(row: str, ending: Ending = Ending.HELD, **more: Any) -> Result:
    counts = {"events": 1000, "lost": 0, "duplicated": 0, "repeats_on_topic": 2}
    recovery = [{"what": "kill broker 1", "seconds": 4.25}, {"what": "kill broker 2", "seconds": None}]
    counts_ = {**counts, "recovery_seconds": recovery}
    return Result(row, f"fault {row}", ending, 5, "quick", **{"faults": 2, "kills": 1, "counts": counts_, **more})


def rows(path: Path) -> dict[str, Any]:
    return {row["row"]: row for row in json.loads(path.read_text())["rows"]}


def test_each_result_is_in_the_file_at_once_and_replaces_the_rows_last_one(tmp_path: Path) -> None:
    report = Report(tmp_path / "new" / "report.json")
    report.add(result("7", Ending.FAILED, why="it hangs"))
    report.add(result("8"))
    assert {row: one["ending"] for row, one in rows(tmp_path / "new" / "report.json").items()} == {
        "7": "failed",
        "8": "held",
    }
    report.add(result("7"))
    assert rows(tmp_path / "new" / "report.json")["7"]["ending"] == "held"


def test_a_resumed_report_knows_what_held_with_the_same_seed_and_size(tmp_path: Path) -> None:
    first = Report(tmp_path / "report.json")
    first.add(result("7"))
    first.add(result("8", Ending.VIOLATED))
    first.add(result("9", Ending.NOT_RUN, why="no proxy"))
    first.add(result("10", Ending.FAILED))
    resumed = Report(tmp_path / "report.json")
    resumed.resume()
    assert [row for row in ("7", "8", "9", "10", "11") if resumed.has(row, 5, "quick")] == ["7", "9"]
    assert not resumed.has("7", 6, "quick")
    assert not resumed.has("7", 5, "full")
    assert resumed.results == first.results


def test_without_a_file_there_is_nothing_to_resume(tmp_path: Path) -> None:
    report = Report(tmp_path / "report.json")
    report.resume()
    assert report.results == []


def test_the_sums_are_those_of_the_rows_that_ran() -> None:
    told = totals(
        [result("7"), result("8", Ending.VIOLATED), result("9", Ending.NOT_RUN, counts={}, faults=0, kills=0)]
    )
    assert (told["rows"], told["events"], told["faults"], told["kills"], told["repeats_on_topic"]) == (2, 2000, 4, 2, 4)


def test_the_table_has_a_line_per_row_in_order_of_number_and_names_what_went_wrong() -> None:
    violation = {"invariant": "I1", "category": "lost", "what": "web/a", "detail": "nowhere"}
    text = markdown(
        [
            result("10", Ending.VIOLATED, violations=[violation]),
            result("7b"),
            result("7a", Ending.FAILED, why="it | hangs"),
            result("9", Ending.NOT_RUN, why="no transactions here", counts={}),
        ]
    )
    lines = text.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:6]] == ["| 7a", "| 7b", "| 9", "| 10"]
    assert lines[3] == "| 7b | fault 7b | 1,000 | 2 | 1 | 0 | 0 | 2 | 4.2 | held |"
    assert lines[4].endswith("not run: no transactions here |")
    assert lines[6].startswith("|  | **all 3 rows** | **3,000** |")
    assert "- 10: I1 lost web/a: nowhere" in lines
    assert "- 7a: it | hangs" in lines
