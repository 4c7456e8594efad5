"""Wake-ups between replicas by NOTIFY. Only a hint: whoever waits also looks by itself every second."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg

from funnel.errors import DatabaseAway
from funnel.postgres.database import Database, translate
from funnel.waiting import first_of

RECONNECT_SECONDS = 1.0


class Listener:
    """Calls a function for each notification on a channel, over a connection of its own that heals itself."""

    name = "listener"

    def __init__(self, database: Database, channels: Mapping[str, Callable[[], None]]) -> None:
        self._database = database
        self._channels = channels

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until `stop`; after a lost connection every function is called once, since a hint may be lost."""
        while not stop.is_set():
            try:
                connection = await self._database.dedicated()
                try:
                    await self._listen(connection, stop)
                finally:
                    connection.terminate()
            except Exception as error:
                if not isinstance(translate(error) or error, DatabaseAway):
                    raise
            await first_of(RECONNECT_SECONDS, stop)

    async def _listen(self, connection: asyncpg.Connection[Any], stop: asyncio.Event) -> None:
        """Pass notifications on until the connection is lost or `stop` is set."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        for channel, wake in self._channels.items():
            await connection.add_listener(channel, lambda *_, wake=wake: wake())
            wake()
        await first_of(math.inf, lost, stop)
