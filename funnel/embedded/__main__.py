"""The supervisor as a process of its own: `python -m funnel.embedded`, started by `funnel up --detach`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from funnel.embedded.running import supervise
from funnel.errors import FunnelError
from funnel.settings import Settings


def _say(line: str) -> None:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(at, line, file=sys.stderr, flush=True)  # noqa: T201 - stderr is the supervisor's log


try:
    supervise(Settings(), _say, lambda troubles: _say("; ".join(troubles) or "everything is ready"))
except FunnelError as error:
    sys.exit(str(error))  # the last line of the log: `funnel up --detach` repeats it
