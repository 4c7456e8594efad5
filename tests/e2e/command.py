"""The command line as a person uses it: in a process of its own, told where the stack is by its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from funnel.settings import Settings

RUN = "from funnel.cli import main; main()"
_HANG_SECONDS = 300.0


def environment(settings: Settings) -> dict[str, str]:
    """The variables that lead a process to the stack of `settings`."""
    told = settings.model_dump(exclude={"replica"}, exclude_none=True)
    return {**os.environ, **{f"FUNNEL_{name.upper()}": str(value) for name, value in told.items()}}


def funnel(*arguments: str | Path, env: Mapping[str, str], expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `funnel ...` to its end, and check its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)],
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=_HANG_SECONDS,
        check=False,
    )
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
