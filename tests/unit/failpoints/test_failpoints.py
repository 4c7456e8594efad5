"""The mechanism: files arm points, one process obeys, and where nothing is armed nothing is there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from funnel.failpoints import POINTS, VISITS, BadFailpoint, Failpoints, Order, arm, hit_by, order_in, visited

POINT = "spine.commit.before"
OTHER = "spine.commit.after"


def process(folder: Path | None, code: str) -> subprocess.Popen[str]:
    """A Python process that has imported `reach`, with `folder` armed or, for None, nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FUNNEL_")}
    if folder is not None:
        environment["FUNNEL_FAILPOINTS"] = str(folder)
    program = f"from funnel import failpoints\nfrom funnel.failpoints import reach\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code and words of a process that ends by itself."""
    out, err = child.communicate()
    return child.returncode, out, err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_without_the_variable_reach_is_the_function_that_does_nothing() -> None:
    assert ended(process(None, "print(reach is failpoints.off, reach('no such point'))")) == (0, "True None\n", "")


def test_an_armed_point_kills_the_process_and_says_which(folder: Path) -> None:
    arm(folder, POINT, "kill")
    child = process(folder, f"reach({OTHER!r}); print('still here', flush=True); reach({POINT!r}); print('too far')")
    assert ended(child)[:2] == (-signal.SIGKILL, "still here\n")
    assert hit_by(folder, POINT) == child.pid
    assert not (folder / POINT).exists()


def test_the_process_started_again_lives(folder: Path) -> None:
    arm(folder, POINT, "kill")
    assert ended(process(folder, f"reach({POINT!r})"))[0] == -signal.SIGKILL
    assert ended(process(folder, f"reach({POINT!r}); print('done')")) == (0, "done\n", "")


def test_a_point_is_armed_while_the_process_runs(folder: Path) -> None:
    code = f"reach({POINT!r}); print('ready', flush=True)\nwhile True: reach({POINT!r})"
    child = process(folder, code)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    arm(folder, POINT, "kill")
    assert ended(child)[0] == -signal.SIGKILL


def test_the_third_visit_after_the_file_came_is_the_third(folder: Path) -> None:
    arm(folder, POINT, "kill 3")
    assert ended(process(folder, f"[(print(n, flush=True), reach({POINT!r})) for n in range(1, 9)]")) == (
        -signal.SIGKILL,
        "1\n2\n3\n",
        "",
    )


def test_visits_before_the_file_came_do_not_count(folder: Path) -> None:
    points = Failpoints(folder)
    for _ in range(5):
        points.reach(POINT)
    arm(folder, POINT, "kill 2")
    points.reach(POINT)
    (folder / POINT).unlink()
    points.reach(POINT)
    arm(folder, POINT, "kill 2")
    points.reach(POINT)  # this process would be gone if earlier visits counted
    assert hit_by(folder, POINT) is None


def test_a_process_that_stops_itself_goes_on_when_told(folder: Path) -> None:
    arm(folder, POINT, "stop")
    child = process(folder, f"reach({POINT!r}); print('went on')")
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert hit_by(folder, POINT) == child.pid
    child.send_signal(signal.SIGCONT)
    assert ended(child)[:2] == (0, "went on\n")


def test_an_order_for_another_service_is_left_to_it(folder: Path) -> None:
    arm(folder, POINT, "kill service=routing")
    assert ended(process(folder, f"reach({POINT!r}); print('done')"))[:2] == (0, "done\n")
    assert (folder / POINT).exists()
    routing = "types.SimpleNamespace(name='services.routing.__main__')"
    code = f"import sys, types; sys.modules['__main__'].__spec__ = {routing}; reach({POINT!r})"
    assert ended(process(folder, code))[0] == -signal.SIGKILL


def test_of_many_processes_one_obeys(folder: Path) -> None:
    arm(folder, POINT, "kill")
    children = [process(folder, f"[reach({POINT!r}) for _ in range(2000)]") for _ in range(4)]
    codes = [ended(child)[0] for child in children]
    assert sorted(codes) == [-signal.SIGKILL, 0, 0, 0]


def test_a_point_armed_again_is_hit_again(folder: Path) -> None:
    for _ in range(2):
        arm(folder, POINT, "kill")
        assert hit_by(folder, POINT) is None
        child = process(folder, f"reach({POINT!r})")
        child.communicate()
        assert hit_by(folder, POINT) == child.pid


@pytest.mark.parametrize("text", ["", "kil", "kill 0", "kill -1", "kill three", "stop service=", "kill 1 2", "KILL"])
def test_an_order_that_says_nothing_names_its_file(folder: Path, text: str) -> None:
    (folder / POINT).write_text(text, encoding="utf-8")
    with pytest.raises(BadFailpoint, match=f"{folder / POINT}: "):
        Failpoints(folder).reach(POINT)
    with pytest.raises(BadFailpoint, match=f"{folder / POINT}: "):
        arm(folder, POINT, text)


def test_a_point_that_does_not_exist_cannot_be_armed(folder: Path) -> None:
    with pytest.raises(BadFailpoint, match="no failpoint of this name"):
        arm(folder, "spine.comit.before", "kill")
    assert list(folder.iterdir()) == []


def test_a_service_that_cannot_get_there_cannot_be_told_to(folder: Path) -> None:
    with pytest.raises(BadFailpoint, match="ingest cannot get there, only scoring, routing, metrics"):
        arm(folder, POINT, "kill service=ingest")


def test_an_order_is_read_whole() -> None:
    file = Path(POINT)
    assert order_in(file, "kill") == Order(signal.SIGKILL)
    assert order_in(file, "stop 12 service=metrics\n") == Order(signal.SIGSTOP, 12, "metrics")


def test_a_folder_that_is_none_is_told_at_once(folder: Path) -> None:
    code, _, said = ended(process(folder / "nowhere", "print('too far')"))
    assert code == 1
    assert f"FUNNEL_FAILPOINTS names {folder / 'nowhere'}" in said


def test_visits_are_written_down_once_each_where_there_is_a_folder_for_them(folder: Path) -> None:
    assert ended(process(folder, f"reach({POINT!r})"))[0] == 0
    assert visited(folder) == set()
    (folder / VISITS).mkdir()
    child = process(folder, f"[(reach({POINT!r}), reach({OTHER!r})) for _ in range(3)]")
    assert ended(child)[0] == 0
    assert (folder / VISITS / f"funnel.{child.pid}").read_text(encoding="utf-8") == f"{POINT}\n{OTHER}\n"
    assert visited(folder) == {(POINT, "funnel"), (OTHER, "funnel")}


def test_names_are_systematic() -> None:
    sides = ("before", "commit", "after", "found")
    assert [name for name in POINTS if name.count(".") != 2 or name.rpartition(".")[2] not in sides] == []
