"""Two grounds for one scenario: the fakes in virtual time, and real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import psycopg
import pytest

from funnel.postgres import Database
from tests.simulator.database import FakeDatabase
from tests.simulator.world import World

T = TypeVar("T")


class Ground(Protocol):
    """A database server with nothing in it but empty tables."""

    def run(self, scenario: Callable[[], Awaitable[T]]) -> T:
        """Run an asynchronous scenario to its end."""

    def database(self, schema: str) -> Database:
        """Connections to one schema; closed by the ground."""

    async def cut(self) -> None:
        """End every session."""


class FakeGround:
    """The simulator's."""

    def __init__(self) -> None:
        self.world = World(seed=1)

    def run(self, scenario: Callable[[], Awaitable[T]]) -> T:
        async def go() -> T:
            return await scenario()

        return self.world.outside.run_until_complete(go())

    def database(self, schema: str) -> Database:
        return FakeDatabase(self.world.server, self.world.outside, schema)

    async def cut(self) -> None:
        self.world.server.cut_all()


class RealGround:
    """PostgreSQL's."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._opened: list[Database] = []

    def run(self, scenario: Callable[[], Awaitable[T]]) -> T:
        async def go() -> T:
            async with self._closing():
                return await scenario()

        return asyncio.run(go())

    def database(self, schema: str) -> Database:
        self._opened.append(Database.lazy(self._dsn, schema=schema, application_name="conformance"))
        return self._opened[-1]

    async def cut(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    @asynccontextmanager
    async def _closing(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for database in self._opened:
                await database.close()


@pytest.fixture(params=["fake", "real"])
def ground(request: pytest.FixtureRequest) -> Ground:
    if request.param == "fake":
        return FakeGround()
    return RealGround(request.getfixturevalue("database_dsn"))
