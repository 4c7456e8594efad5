"""What an arm is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.figures import Figure
from bench.machine import Usage
from bench.plan import Sizes
from bench.screen import Screen
from bench.servers import Servers
from bench.services import Profiling


@dataclass(frozen=True, slots=True)
class Bench:
    """`folder` is for what runs keep on disk meanwhile; `profiling` is set when profiles are wanted, not figures."""

    servers: Servers
    folder: Path
    sizes: Sizes
    screen: Screen
    now: datetime
    faust_python: str | None = None
    profiling: Profiling | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of an arm. Where there are `problems` the figures mean nothing."""

    figures: Mapping[str, float]
    usage: Usage
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class Arm:
    """One thing that is measured. `run` raises RunFailed when it comes to no result."""

    name: str
    title: str
    figures: Sequence[Figure]
    run: Callable[[Bench], Outcome]
