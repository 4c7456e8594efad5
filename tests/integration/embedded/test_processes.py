"""Starting, recognising and stopping child processes."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path

from funnel.embedded.process import Child, Identity, Program, last_words
from tests.support import eventually


def _python(code: str, **more: object) -> Program:
    return Program("example", (sys.executable, "-c", code), **more)  # type: ignore[arg-type]


async def test_a_child_is_known_by_pid_and_start_time(tmp_path: Path) -> None:
    child = Child.start(_python("import time; time.sleep(600)"), tmp_path / "log")
    identity = child.identity
    assert identity.find() is not None
    assert Identity(identity.pid, identity.started - 60).find() is None, "a later process with the same pid is another"

    adopted = Child.adopt(child.program, identity, tmp_path / "log")
    assert adopted.running()
    child.stop()
    assert not adopted.running()
    assert child.why_ended() == "killed by SIGTERM"


async def test_a_child_that_does_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    )
    child = Child.start(_python(stubborn, stop_grace_s=0.2), tmp_path / "log")
    await eventually(lambda: (tmp_path / "log").read_text(encoding="ascii"))
    child.stop()
    assert child.why_ended() == "killed by SIGKILL"


async def test_a_child_is_stopped_by_the_signal_its_program_names(tmp_path: Path) -> None:
    program = replace(_python("import time; time.sleep(600)"), stop_signal=signal.SIGQUIT)
    child = Child.start(program, tmp_path / "log")
    child.stop()
    assert child.why_ended() == "killed by SIGQUIT"


async def test_why_it_ended_is_what_it_said_in_this_life(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("FATAL: of an earlier life\n", encoding="ascii")
    child = Child.start(_python("print('now I am done'); raise SystemExit(3)"), log)
    await eventually(lambda: not child.running())
    assert child.why_ended() == "exit code 3: now I am done"


def test_the_line_that_names_an_error_is_preferred_to_what_follows_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "LOG:  starting\njava.io.IOException: No space left on device\n\tat kafka.Log.append(Log.scala:1)\n\n",
        encoding="ascii",
    )
    assert last_words(log) == "java.io.IOException: No space left on device"
    assert last_words(tmp_path / "missing") == ""
