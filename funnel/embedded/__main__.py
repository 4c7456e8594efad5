"""The supervisor as a process of its own: `python -m funnel.embedded`, started by `funnel up --detach`."""

from __future__ import annotations

import contextlib
import sys
from datetime import UTC, datetime

from funnel.embedded.running import supervise
from funnel.errors import FunnelError
from funnel.settings import Settings


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # a full disk must not end the one who starts everything again
        print(datetime.now(UTC).isoformat(timespec="milliseconds"), line, file=sys.stderr, flush=True)  # noqa: T201


try:
    supervise(Settings(), _say, lambda troubles: _say("; ".join(troubles) or "everything is ready"))
except FunnelError as error:
    sys.exit(str(error))  # the last line of the log: `funnel up --detach` repeats it
