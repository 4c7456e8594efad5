"""Desks for the tests of routing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.integration.routing.desk import Desk, open_desk

OpenDesk = Callable[[str], Awaitable[Desk]]


@pytest.fixture
async def opened(database_dsn: str) -> AsyncIterator[OpenDesk]:
    """Opens a desk with the given routing.yaml."""
    desks: list[Desk] = []

    async def open_one(rules: str) -> Desk:
        desks.append(await open_desk(database_dsn, rules))
        return desks[-1]

    yield open_one
    for desk in desks:
        await desk.database.close()
