"""Why a bench, or one run of it, cannot go on."""

from __future__ import annotations

from funnel.errors import FunnelError


class BenchError(FunnelError):
    """The bench cannot start; the message says what to do."""


class RunFailed(FunnelError):
    """One run gave no result: a process ended, or nothing moved any more."""
