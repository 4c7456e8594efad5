"""What a person types meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

from chaos.errors import RowFailed
from chaos.run import Run

_PROGRAM: Final = (sys.executable, "-P", "-c", "from funnel.cli import main; main()")
_ENDED_SECONDS: Final = 120.0


def funnel(run: Run, *command: str) -> str:
    """Run a `funnel` command on the run's servers to its end; what it answers. Blocks. Raises RowFailed."""
    told = {f"FUNNEL_{name.upper()}": str(v) for name, v in run.settings.model_dump().items() if v is not None}
    done = subprocess.run(
        (*_PROGRAM, *command),
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=False,
        timeout=_ENDED_SECONDS,
    )
    if done.returncode:
        raise RowFailed(f"funnel {' '.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
