"""TCP ports on this machine."""

from __future__ import annotations

import socket

from funnel.embedded.errors import StackError


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(host: str, port: int, needed_by: str, setting: str) -> None:
    """Raise `StackError` when somebody listens on `port`; `setting` is what to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is not "in use"
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StackError(
                f"{needed_by} cannot listen on {host}:{port} ({error.strerror}); "
                f"stop what uses the port or set {setting} to a free one."
            ) from error
