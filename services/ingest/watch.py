"""Knows whether a server that records are entrusted to answers, and keeps them as safe as a 202 says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from funnel.errors import FunnelError, UnsafeSettings
from funnel.waiting import first_of

PERIOD_SECONDS = 5.0
"""How long `/readyz` may be wrong about a server that nobody needs."""

log = structlog.get_logger(__name__)


class Watch:
    """Checks at start and then every PERIOD_SECONDS.

    A server that is away is news for `/readyz`, no more. Settings under which a 202 could be a lie end the process: at
    start by `look` raising, later through `run`.
    """

    def __init__(self, what: str, check: Callable[[], Awaitable[None]], *, only_first: bool = False) -> None:
        """`check` raises FunnelError: UnsafeSettings, or why the server cannot be used.

        `only_first`: settings end the process when the server first answers, and are news afterwards, because whoever
        entrusts records to it asks again each time.
        """
        self.name = f"{what} watch"
        self._what = what
        self._check = check
        self._only_first = only_first
        self._passed = False
        self._trouble: str | None = None

    def ready(self) -> str | None:
        """What the last look found wrong, or None."""
        return self._trouble

    async def look(self) -> None:
        """Check once. Raises UnsafeSettings."""
        before = self._trouble
        try:
            await self._check()
            self._trouble, self._passed = None, True
        except FunnelError as trouble:
            if isinstance(trouble, UnsafeSettings) and not (self._only_first and self._passed):
                raise
            self._trouble = str(trouble)
        if (self._trouble is None) != (before is None):
            log.warning("server_changed", server=self._what, trouble=self._trouble)

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set. Raises UnsafeSettings."""
        while not stop.is_set():
            await first_of(PERIOD_SECONDS, stop)
            if not stop.is_set():
                await self.look()
