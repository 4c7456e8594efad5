"""`funnel import` against the running services, with an invented spreadsheet."""

from __future__ import annotations

import asyncio
import csv
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from funnel.importing.posting import BATCH_ITEMS
from funnel.settings import Settings
from tests.e2e.command import RUN, environment, funnel
from tests.support.eventually import eventually

MAPPING = """\
name: fair
kind: events
mode: history
encoding: cp932
dates: ["%Y/%m/%d"]
id: 番号
constants: {type: form.submitted}
columns:
  番号: properties.badge
  日付: occurred_at
  メール: identity.email
  従業員数: person.employees
"""
SHEET = """\
番号,日付,メール,従業員数
1,2026/02/28,hanako@example.jp,120
2,2026/03/01,HANAKO@example.jp,120
3,2026/03/01,taro@example.jp,20.máj
4,2026/03/02,not an address,5
5,2026/03/03,jiro@example.jp,"1
2"
6,2026/03/04,ken@example.jp,7
"""


def ledger(settings: Settings) -> Any:
    return httpx.get(f"{settings.url_of('metrics')}/v1/ledger").json()


def months(settings: Settings) -> dict[str, int]:
    periods = httpx.get(f"{settings.url_of('metrics')}/v1/kpis", params={"by": "month"}).json()["periods"]
    return {period["start"][:7]: period["leads"] for period in periods if period["leads"]}


async def test_a_spreadsheet_is_imported_repaired_and_imported_again(stack: Settings, tmp_path: Path) -> None:
    sheet, mapping, rejects = tmp_path / "fair.csv", tmp_path / "fair.yaml", tmp_path / "rejects.csv"
    sheet.write_bytes(SHEET.replace("máj", "maj").encode("cp932"))
    mapping.write_text(MAPPING, encoding="utf-8")
    env = environment(stack)
    command = ("import", sheet, "--mapping", mapping)

    before = funnel(*command, "--dry-run", env=env, expect=3).stdout
    assert "Nothing was posted." in before
    assert "line 4, 従業員数: '20.maj' is no number" in before
    assert ledger(stack)["events"]["accepted"] == 0

    said = funnel(*command, "--rejects", rejects, env=env, expect=3).stdout
    assert str(rejects) in said
    with rejects.open(encoding="cp932", newline="") as file:
        rejected = {row["import_line"]: row for row in csv.DictReader(file)}
    assert {line: row["import_column"] for line, row in rejected.items()} == {
        "4": "従業員数",
        "5": "メール",
        "6": "従業員数",
    }
    assert "address" in rejected["5"]["import_reason"]

    await eventually(lambda: ledger(stack)["leads"]["total"] == 2)
    assert months(stack) == {"2026-02": 1, "2026-03": 1}

    repaired = tmp_path / "repaired.csv"
    text = rejects.read_bytes().decode("cp932").replace("20.maj", "20").replace("not an address", "kumi@example.jp")
    repaired.write_bytes(text.replace('"1\n2"', "12").encode("cp932"))
    funnel("import", repaired, "--mapping", mapping, env=env)
    await eventually(lambda: ledger(stack)["leads"]["total"] == 5)
    assert months(stack) == {"2026-02": 1, "2026-03": 4}

    after = funnel(*command, "--dry-run", env=env, expect=3).stdout
    assert [line.split("│")[2].strip() for line in after.splitlines() if "known leads" in line] == ["2"]
    funnel(*command, "--rejects", rejects, env=env, expect=3)
    await eventually(lambda: ledger(stack)["events"]["duplicates"] == 3)
    found = ledger(stack)
    assert found["leads"]["nurturing"] == found["leads"]["total"] == 5
    assert found["events"]["unaccounted"] == found["leads"]["unaccounted"] == 0
    assert found["assignments"]["published"] == 0


async def test_an_interrupted_import_goes_on_and_every_row_is_in_once(stack: Settings, tmp_path: Path) -> None:
    rows = 40 * BATCH_ITEMS
    sheet, mapping = tmp_path / "many.csv", tmp_path / "fair.yaml"
    lines = (f"{n},2026/03/01,person{n}@example.jp,1\n" for n in range(rows))
    sheet.write_text("番号,日付,メール,従業員数\n" + "".join(lines), encoding="cp932")
    mapping.write_text(MAPPING, encoding="utf-8")
    env = environment(stack)
    command = [sys.executable, "-c", RUN, "import", str(sheet), "--mapping", str(mapping)]
    first = await asyncio.create_subprocess_exec(*command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    await eventually(lambda: any((stack.home / "imports").glob("*.json")))
    first.send_signal(signal.SIGINT)
    _, said = await first.communicate()
    assert first.returncode == 130
    assert said.startswith(b"Stopped. Run the same command again to go on")

    second = funnel("import", sheet, "--mapping", mapping, env=env).stdout
    assert "Going on after line" in second
    await eventually(lambda: ledger(stack)["leads"]["total"] == rows, deadline=120)
    found = ledger(stack)["events"]
    assert found["applied"] == rows
    assert found["duplicates"] <= BATCH_ITEMS
    assert not any((stack.home / "imports").glob("*.json"))


def test_what_cannot_run_is_one_sentence_and_exit_code_1(tmp_path: Path, settings: Settings) -> None:
    env = environment(settings)
    sheet, mapping = tmp_path / "fair.csv", tmp_path / "fair.yaml"
    sheet.write_text("id\n1\n", encoding="utf-8")
    mapping.write_text(MAPPING.replace("identity.email", "identity.mail"), encoding="utf-8")
    wrong = funnel("import", sheet, "--mapping", mapping, env=env, expect=1)
    assert wrong.stderr.startswith(f"{mapping}:11: columns.メール: events have no field 'identity.mail'")
    mapping.write_text(MAPPING, encoding="utf-8")
    unfit = funnel("import", sheet, "--mapping", mapping, env=env, expect=1)
    assert "the file has no column '番号'" in unfit.stderr
    absent = funnel("import", tmp_path / "no.csv", "--mapping", mapping, env=env, expect=1)
    assert "No such file" in absent.stderr
    assert "Traceback" not in wrong.stderr + unfit.stderr + absent.stderr
