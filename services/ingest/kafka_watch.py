"""Knows whether what is acknowledged here is safe: Kafka answers, and the topics keep enough copies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from funnel.kafka.consumer import KafkaAway
from funnel.waiting import first_of

PERIOD_SECONDS = 5.0
"""How long `/readyz` may be wrong about a broker that nobody posts to."""

log = structlog.get_logger(__name__)


class KafkaWatch:
    """Checks at start and then every PERIOD_SECONDS.

    Kafka being away is news for `/readyz`, no more. Settings under which a 202 could be a lie end the process: at
    start by `look` raising, later through `run`.
    """

    name = "kafka watch"

    def __init__(self, check: Callable[[], Awaitable[None]]) -> None:
        """`check` raises KafkaAway or UnsafeSettings, as `funnel.kafka.checks.assert_replicated` does."""
        self._check = check
        self._trouble: str | None = None

    def ready(self) -> str | None:
        """What the last look found wrong, or None."""
        return self._trouble

    async def look(self) -> None:
        """Check once. Raises UnsafeSettings."""
        before = self._trouble
        try:
            await self._check()
            self._trouble = None
        except KafkaAway as away:
            self._trouble = str(away)
        if (self._trouble is None) != (before is None):
            log.warning("kafka_changed", trouble=self._trouble)

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set. Raises UnsafeSettings."""
        while not stop.is_set():
            await first_of(PERIOD_SECONDS, stop)
            if not stop.is_set():
                await self.look()
