"""The history as it is written."""

from __future__ import annotations

import json
from pathlib import Path

from chaos.history import History


def test_what_was_injected_is_open_until_it_is_healed_and_kills_are_counted(tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    history.fault("7a", "inject", "kill broker 1", "leader of lead-events/3")
    history.fault("7a", "inject", "freeze broker 2")
    history.fault("7a", "heal", "kill broker 1")
    assert (history.faults, history.kills, history.open) == (2, 1, ["freeze broker 2"])
    history.fault("7a", "heal", "freeze broker 2")
    history.fault("7a", "inject", "kill all brokers", kills=3)
    assert (history.faults, history.kills, history.open) == (3, 4, ["kill all brokers"])
    history.close()
    lines = [json.loads(line) for line in (tmp_path / "history" / "faults.jsonl").read_text().splitlines()]
    assert [(line["phase"], line["what"]) for line in lines] == [
        ("inject", "kill broker 1"), ("inject", "freeze broker 2"), ("heal", "kill broker 1"),
        ("heal", "freeze broker 2"), ("inject", "kill all brokers"),
    ]  # fmt: skip


def test_every_file_the_checker_reads_is_there_and_an_older_history_is_gone(tmp_path: Path) -> None:
    old = History(tmp_path / "history")
    old.answer({"event_id": "old"})
    old.close()
    new = History(tmp_path / "history")
    new.answer({"event_id": "new"})
    new.keep("run", {"seed": 1})
    new.close()
    files = {path.name: path.read_text() for path in (tmp_path / "history").iterdir()}
    assert files == {
        "answers.jsonl": '{"event_id":"new"}\n',
        "faults.jsonl": "",
        "samples.jsonl": "",
        "run.json": '{\n  "seed": 1\n}\n',
    }
