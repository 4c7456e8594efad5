"""What runs now, written down so that other commands, and the next supervisor after a kill, know it too."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

import msgspec

from funnel.embedded.home import Home
from funnel.embedded.process import Identity

Phase = Literal["starting", "running", "stopping", "failed"]


class ChildState(msgspec.Struct, frozen=True):
    """One supervised process. `pid` is None while it waits to be started again; `reason` is why it last ended."""

    name: str
    fingerprint: str
    url: str
    pid: int | None = None
    started: float = 0.0
    restarts: int = 0
    reason: str = ""

    @property
    def identity(self) -> Identity | None:
        return None if self.pid is None else Identity(self.pid, self.started)


class StackState(msgspec.Struct, frozen=True):
    """The whole stack. `environment` is what its services were told, for commands that talk to them."""

    supervisor_pid: int
    supervisor_started: float
    phase: Phase
    step: str
    error: str
    kafka_bootstrap: str
    postgres_dsn: str
    environment: dict[str, str]
    children: list[ChildState]

    @property
    def supervisor(self) -> Identity:
        return Identity(self.supervisor_pid, self.supervisor_started)


def read(home: Home) -> StackState | None:
    """The state written last, or None when there is none or it cannot be understood."""
    try:
        return msgspec.json.decode(home.state_file.read_bytes(), type=StackState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write(home: Home, state: StackState) -> None:
    """Replace the state in one step, readable by its owner only: a DSN may hold a password."""
    draft = home.state_file.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))
    draft.replace(home.state_file)


def clear(home: Home) -> None:
    """Forget the state: nothing runs any more."""
    with contextlib.suppress(FileNotFoundError):
        home.state_file.unlink()
