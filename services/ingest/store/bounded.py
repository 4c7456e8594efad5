"""Asking a Postgres that may be away, for a bounded time: nothing it does may end the intake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from funnel.errors import DatabaseAway, FunnelError


@asynccontextmanager
async def bounded(seconds: float) -> AsyncIterator[None]:
    """Put around a transaction; gives it up after `seconds`, and its fate is then unknown.

    Raises FunnelError, whatever goes wrong: a missing right, a broken page or a plan from before a migration is
    DatabaseAway here, for it helps nobody to end a process that Kafka takes records from.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DatabaseAway(f"Postgres did not answer within {seconds:g} s.") from None
    except FunnelError:
        raise
    except Exception as error:
        raise DatabaseAway(f"Postgres cannot be used ({type(error).__name__}: {error}).") from error
