"""Child processes: how one is described, started, recognised later by pid and start time, and stopped."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from funnel.embedded.errors import StackError, explain_os_errors

# A log is moved aside (one generation is kept) when its process is started and it has grown past this.
_LOG_LIMIT_BYTES = 20_000_000
# How far back to look for what a process wrote last.
_TAIL_BYTES = 16_384
# psutil derives start times from clock ticks and the boot time; two readings of one process agree well within this.
_SAME_START_S = 0.05
_AFTER_KILL_S = 10.0
_PR_SET_PDEATHSIG = 1
_NAMES_AN_ERROR = re.compile(r"\b(FATAL|PANIC|ERROR|\w*Error|\w*Exception)\b")


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. `user` and `group` are set when this process is root and the program refuses to be."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    group: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Identity:
    """A process for as long as it lives: a pid alone may have been given to another process since."""

    pid: int
    started: float

    def find(self) -> psutil.Process | None:
        """The live process, or None when it ended (a zombie has ended)."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class Child:
    """A program at work: one we started (`start`), or one left by an owner that was killed (`adopt`)."""

    def __init__(
        self, program: Program, identity: Identity, log: Path, popen: subprocess.Popen[bytes] | None, log_from: int
    ) -> None:
        self.program = program
        self.identity = identity
        self.log = log
        self._popen = popen
        self._log_from = log_from

    @classmethod
    def start(cls, program: Program, log: Path, *, ends_with_us: bool = False) -> Child:
        """Start `program` in a session of its own, its output appended to `log`.

        A session of its own keeps the terminal's Ctrl-C away from it, so that its owner decides the order of stopping.
        It outlives an owner that is killed and is then found again by its `Identity`, unless `ends_with_us`: then the
        kernel stops it with the calling thread (on Linux). Raises `StackError` on a full disk.
        """
        with explain_os_errors(f"starting {program.name}", log):
            log.parent.mkdir(parents=True, exist_ok=True)
            if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
                log.replace(log.with_suffix(".log.1"))
            with log.open("ab") as output:
                log_from = output.tell()
                popen = subprocess.Popen(
                    program.argv,
                    env={**os.environ, **program.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    user=program.user,
                    group=program.group,
                    extra_groups=None if program.user is None else [],
                    preexec_fn=partial(_end_with_parent, program.stop_signal) if ends_with_us else None,
                )
        identity = Identity(popen.pid, psutil.Process(popen.pid).create_time())
        return cls(program, identity, log, popen, log_from)

    @classmethod
    def adopt(cls, program: Program, identity: Identity, log: Path) -> Child:
        """Take over a process that somebody else started."""
        return cls(program, identity, log, None, 0)

    def running(self) -> bool:
        """Whether the process still lives."""
        if self._popen is not None:
            return self._popen.poll() is None
        return self.identity.find() is not None

    def why_ended(self) -> str:
        """How a process that is not running ended, with its last words unless it was killed."""
        code = self._popen.returncode if self._popen is not None else None
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        how = "ended" if code is None else f"exit code {code}"
        return f"{how}: {last_words(self.log, self._log_from) or 'it wrote nothing'}"

    def ask_to_stop(self) -> None:
        """Send the signal that makes the program finish; returns at once."""
        if process := self.identity.find():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(self.program.stop_signal)

    def await_end(self) -> None:
        """Wait for a process that was asked to stop; kill it when it takes longer than its grace."""
        if not self._ended_within(self.program.stop_grace_s):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.identity.pid, signal.SIGKILL)
            self._ended_within(_AFTER_KILL_S)

    def stop(self) -> None:
        """Ask the process to finish, and wait for its end."""
        self.ask_to_stop()
        self.await_end()

    def _ended_within(self, seconds: float) -> bool:
        try:
            if self._popen is not None:
                self._popen.wait(timeout=seconds)
            elif process := self.identity.find():
                process.wait(timeout=seconds)
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            return False
        return True


def _end_with_parent(stop_signal: signal.Signals) -> None:
    """Runs in the child before it becomes the program: have the kernel send `stop_signal` when the parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(stop_signal))


def run_tool(program: Program, doing: str, folder: Path) -> None:
    """Run a short program to its end. Raises `StackError` with what it said when it fails `doing` something."""
    done = subprocess.run(
        program.argv,
        capture_output=True,
        text=True,
        check=False,
        user=program.user,
        group=program.group,
        extra_groups=None if program.user is None else [],
        cwd="/",  # where every user may be
    )
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip().splitlines()
    if any("No space left" in line for line in said):
        raise StackError(f"The disk holding {folder} is full while {doing}; free some space and try again.")
    reason = next((line for line in said if re.search("error|exception", line, re.IGNORECASE)), "".join(said[-1:]))
    raise StackError(f"{program.name} failed while {doing} in {folder}: {reason or 'it said nothing'}")


def last_words(log: Path, since: int = 0) -> str:
    """The line of `log`, from byte `since` on, that says best why its writer ended; empty when it wrote nothing.

    That is the last one that names an error, since a stack trace or a closing note may follow it; else the last one.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(since, log.stat().st_size - _TAIL_BYTES))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except FileNotFoundError:
        return ""
    telling = [line for line in lines if _NAMES_AN_ERROR.search(line)]
    return (telling or lines or [""])[-1]
