"""What the machine did during a run: whose processes took its time, and what its host took away."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_STAT = Path("/proc/stat")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
TICK_SECONDS = 1 / _TICKS_PER_SECOND
"""CPU time is told in steps of this."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Clock ticks of all cores since boot: all of them, the idle ones, those the host gave to somebody else."""

    total: int
    idle: int
    steal: int


@dataclass(frozen=True, slots=True)
class Usage:
    """A stretch of time. `cpu` are seconds by party; `steal` and `others` are shares of all cores' time.

    `others` are processes that are no part of the bench. Both are None where the system does not tell (not Linux).
    """

    seconds: float
    cpu: Mapping[str, float]
    steal: float | None
    others: float | None
    load: float


def parse_ticks(stat: str) -> Ticks:
    """The first line of /proc/stat: user nice system idle iowait irq softirq steal, then guests (part of user)."""
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, stat.split(maxsplit=9)[1:9])
    return Ticks(user + nice + system + idle + iowait + irq + softirq + steal, idle + iowait, steal)


def read_ticks() -> Ticks | None:
    """The ticks now, or None where there is no /proc/stat."""
    return parse_ticks(_STAT.read_text(encoding="ascii")) if _STAT.exists() else None


def cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds of a process and of all that descend from it, those that have ended included."""
    total = 0.0
    for one in (*process.children(recursive=True), process):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


class Meter:
    """Reads the machine when made, and again in `usage`."""

    def __init__(self, parties: Mapping[str, psutil.Process | None]) -> None:
        """`parties` are the processes whose time is told apart; a party that is None runs on another machine."""
        self._parties = {name: process for name, process in parties.items() if process is not None}
        self._bench = psutil.Process()
        self._cpu, self._all = self._read()
        self._ticks = read_ticks()
        self._started = time.monotonic()

    def usage(self) -> Usage:
        """What happened since the meter was made."""
        seconds, ticks = time.monotonic() - self._started, read_ticks()
        cpu, everything = self._read()
        spent = {name: cpu[name] - before for name, before in self._cpu.items()}
        steal, others = shares(self._ticks, ticks, everything - self._all)
        return Usage(seconds, spent, steal, others, os.getloadavg()[0])

    def _read(self) -> tuple[dict[str, float], float]:
        """Seconds by party, and of everything that belongs to the bench: servers it was given are no children of it."""
        cpu = {name: cpu_seconds(process) for name, process in self._parties.items()}
        given = sum(cpu[name] for name, process in self._parties.items() if self._bench not in process.parents())
        return cpu, given + cpu_seconds(self._bench)


def shares(before: Ticks | None, after: Ticks | None, ours: float) -> tuple[float | None, float | None]:
    """Shares of time that the host took, and that processes other than `ours` (seconds) took."""
    if before is None or after is None or after.total == before.total:
        return None, None
    total, steal = after.total - before.total, after.steal - before.steal
    busy = total - steal - (after.idle - before.idle)
    return steal / total, max(0.0, busy - ours * _TICKS_PER_SECOND) / total
