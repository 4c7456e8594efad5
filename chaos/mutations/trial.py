"""Copies of the tree, and tests run on them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from chaos.mutations.mutation import Mutation
from funnel.embedded.servers import Servers

ROOT: Final = Path(__file__).resolve().parents[2]
LEFT_OUT: Final = (".*", "__pycache__", "*.egg-info", "node_modules")
"""Not copied: the environment, the history, caches. None of the product's own files begins with a dot."""

SECONDS_MAX: Final = 600.0
"""A test that has not ended by then says nothing: a mutant must make it fail, not hang."""

_PLUGINS_OFF: Final = ("randomly", "cacheprovider", "schemathesis", "xdist")
_TESTS_FAILED: Final = 1
"""What pytest exits with when all tests could be found, and some are red."""
_NO_PROGRAM: Final = ("SyntaxError", "NameError", "ImportError", "ModuleNotFoundError", "AmbiguousParameterError")
"""A mutant that fails with one of these is broken everywhere, and shows nothing of its safeguard."""
_END_SECONDS: Final = 20.0
_MESSAGE_CHARS: Final = 400
_PACKAGES: Final = ("funnel", "services", "tests")
_WHERE: Final = (
    "import importlib.util, pathlib, sys\n"
    f"for name in {_PACKAGES!r}:\n"
    "    spec = importlib.util.find_spec(name)\n"
    "    place = spec and next(iter(spec.submodule_search_locations or ()), None)\n"
    "    print(pathlib.Path(place).resolve().parent if place else None)\n"
)


class NotTheCopy(Exception):
    """Tests would run another code than the copy's."""


class Verdict(StrEnum):
    """What a run showed."""

    GREEN = "green"
    RED = "red"
    BROKEN = "broken"
    """Something else than a test's own assertion went wrong: it could not be set up, or it did not end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run of tests. `failed` and `message` are of the first that was not green; all that were not are in `bad`."""

    verdict: Verdict
    seconds: float
    failed: str | None = None
    message: str | None = None
    bad: tuple[str, ...] = ()


def snapshot(target: Path, source: Path = ROOT) -> Path:
    """Copy the tree at `source` to `target`, which must not exist yet."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return target


def digest(root: Path) -> str:
    """What tells one tree from another: all names and bytes."""
    found = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


@dataclass(frozen=True)
class Trials:
    """Runs tests on copies of `pristine`, all on the same servers."""

    pristine: Path
    servers: Servers
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def unmutated(self, tests: Sequence[str]) -> Outcome:
        """The tests on the code as it is; its compiled modules are left for the mutants."""
        return self._run(self.pristine, tests, stop_at_first=False)

    def mutant(self, mutation: Mutation, tests: Sequence[str]) -> Outcome:
        """The tests on a copy without the safeguard."""
        with self._copy() as copy:
            mutation.apply(copy)
            for edit in mutation.edits:
                _forget_compiled(copy / edit.file)
            return self._run(copy, tests, stop_at_first=True)

    def stop(self) -> None:
        """End the runs that are under way, let them clean up, and begin no other."""
        self._stopped.set()
        for process in list(self._running):
            _end(process)

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="funnel-mutant-", ignore_cleanup_errors=True) as folder:
            yield shutil.copytree(self.pristine, Path(folder) / "tree", ignore=shutil.ignore_patterns(".*"))

    def _run(self, copy: Path, tests: Sequence[str], *, stop_at_first: bool) -> Outcome:
        environment = self._environment(copy)
        _assert_is_what_runs(copy, environment)
        report = copy.parent / "report.xml"
        options = [f"--junitxml={report}", *(part for name in _PLUGINS_OFF for part in ("-p", f"no:{name}"))]
        options += ["-x"] if stop_at_first else []
        command = [sys.executable, "-P", "-m", "pytest", "-q", *options, *tests]
        log = copy.parent / "log"
        started = time.monotonic()
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command, cwd=copy, env=environment, stdout=file, stderr=subprocess.STDOUT, text=True
            )
        self._running.add(process)
        try:
            if self._stopped.is_set():
                return Outcome(Verdict.BROKEN, 0.0, message="Stopped.")
            process.wait(SECONDS_MAX * (1 if stop_at_first else len(tests)))
        except subprocess.TimeoutExpired:
            return Outcome(Verdict.BROKEN, time.monotonic() - started, message="It did not end.")
        finally:
            _end(process)
            self._running.discard(process)
        seconds = time.monotonic() - started
        said = log.read_text(encoding="utf-8", errors="replace")
        return read_report(report, process.returncode, said, seconds)

    def _environment(self, copy: Path) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FUNNEL_", "PYTEST_"))}
        return kept | {
            "PYTHONPATH": str(copy),
            "PYTHONSAFEPATH": "1",
            "FUNNEL_KAFKA_BOOTSTRAP": self.servers.kafka_bootstrap,
            "FUNNEL_POSTGRES_DSN": self.servers.postgres_dsn,
        }


def _assert_is_what_runs(copy: Path, environment: dict[str, str]) -> None:
    """The package is installed from the working tree; the copy must come before that, in child processes too."""
    done = subprocess.run(
        [sys.executable, "-c", _WHERE], cwd=copy, env=environment, capture_output=True, text=True, check=True
    )
    places = done.stdout.splitlines()
    if places != [str(copy.resolve())] * len(_PACKAGES):
        raise NotTheCopy(f"{', '.join(_PACKAGES)} are imported from {', '.join(places)}, not from {copy}.")


def _forget_compiled(source: Path) -> None:
    """A compiled module is told from an outdated one by the second it was written in, which may be the same."""
    for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.*"):
        compiled.unlink()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def read_report(report: Path, code: int, said: str, seconds: float) -> Outcome:
    """What a run of pytest showed, by its JUnit report. A failed assertion is a failure there, all else an error."""
    cases = list(ElementTree.parse(report).iter("testcase")) if report.is_file() else []
    failures = [(case, bad) for case in cases for bad in case.iter("failure")]
    errors = [(case, bad) for case in cases for bad in case.iter("error")]
    ran = [case for case in cases if case.find("skipped") is None]
    if code == 0 and ran:
        return Outcome(Verdict.GREEN, seconds)
    if code != _TESTS_FAILED or not (failures or errors):
        why = "Every test was skipped." if cases and not ran else said.strip()[-_MESSAGE_CHARS:]
        return Outcome(Verdict.BROKEN, seconds, message=why)
    case, bad = (failures or errors)[0]
    message = _shortened(bad.get("message") or bad.text or "")
    verdict = Verdict.RED if failures and not any(error in message for error in _NO_PROGRAM) else Verdict.BROKEN
    names = tuple(_name(case) for case, _ in (*failures, *errors))
    return Outcome(verdict, seconds, _name(case), message, names)


def _name(case: ElementTree.Element) -> str:
    return f"{str(case.get('classname')).replace('.', '/')}.py::{case.get('name')}"


def _shortened(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _MESSAGE_CHARS else f"{line[: _MESSAGE_CHARS - 1]}…"
