"""Waiting for the first of several events, with a bound."""

from __future__ import annotations

import asyncio
import math


async def first_of(seconds: float, *events: asyncio.Event) -> None:
    """Return when one of `events` is set, or after `seconds`."""
    if any(event.is_set() for event in events):
        return
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=None if seconds == math.inf else seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
