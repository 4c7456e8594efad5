"""The command: its exit codes, its table, and what it says of a history that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos.checker.command import SHOWN, main
from tests.unit.checker.world import Story, World


@pytest.fixture
def world() -> World:
    story = Story()
    for number in range(SHOWN + 5):
        story.event(f"lead{number}@example.com", "demo.requested")
    return story.told()


def test_a_correct_history_exits_with_0(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(world.write(tmp_path))]) == 0
    told = capsys.readouterr().out
    assert "Everything is as promised." in told
    assert "not checked: the product has no webhooks yet" in told


def test_a_violation_exits_with_1_and_is_shown(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.tables["scoring.touch"].clear()
    assert main([str(world.write(tmp_path))]) == 1
    told = capsys.readouterr().out
    assert f"{SHOWN + 5} violations." in told
    assert told.count("I2 lost: web/") == SHOWN
    assert "and 5 more" in told


def test_as_json_all_of_them_are_there(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world.tables["scoring.touch"].clear()
    assert main([str(world.write(tmp_path)), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"]
    assert told["counts"]["lost"] == SHOWN + 5 == sum(len(one["violations"]) for one in told["findings"])


def test_text_that_cannot_be_shown_is_shown_somehow(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answers.append({**world.answers[0], "event_id": "\ud800", "answer_id": "\ud800"})
    assert main([str(world.write(tmp_path))]) == 1
    assert "web/\\ud800" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("answers.jsonl", '{"a"', "answers.jsonl, line 1: not JSON"),
        ("answers.jsonl", "{}", "answers.jsonl, line 1: there is no 'kind'"),
        ("tables/scoring.inbox.jsonl", "[1]\n", "scoring.inbox.jsonl, line 1: not one object"),
        ("tables/scoring.inbox.jsonl", "{} {}\n", "scoring.inbox.jsonl, line 1: not one object"),
        (
            "tables/scoring.inbox.jsonl",
            '{"source": "s"}\n',
            "scoring.inbox.jsonl, line 1: there is no 'event_id'",
        ),
        ("topics/lead-scores.jsonl", '{"partition": 1}\n', "lead-scores.jsonl, line 1: KeyError"),
        ("topics/lead-scores.bounds.json", "[]", "lead-scores.bounds.json: not an object"),
        ("topics/lead-scores.jsonl", None, "lead-scores.jsonl is missing: topics and tables were not collected"),
        ("tables/scoring.inbox.jsonl", None, "scoring.inbox.jsonl is missing"),
        ("run.json", "{", "run.json: not JSON"),
    ],
)
def test_what_cannot_be_read_exits_with_2_and_says_where(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, told: str
) -> None:
    world.faults.append({"at": 0, "row": 1, "what": "", "phase": "inject", "detail": ""})
    file = world.write(tmp_path) / name
    file.unlink() if text is None else file.write_text(text)
    assert main([str(tmp_path)]) == 2
    assert told in capsys.readouterr().err


def test_a_history_that_is_not_there_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "is no directory" in capsys.readouterr().err


def test_files_that_rules_can_do_without_may_be_missing(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.write(tmp_path)
    for name in ("answers.jsonl", "samples.jsonl", "faults.jsonl", "metrics.json", "run.json"):
        (tmp_path / name).unlink()
    assert main([str(tmp_path)]) == 0
    assert "not checked: there is no answers.jsonl" in capsys.readouterr().out
