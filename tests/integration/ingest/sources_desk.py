"""Two ingest processes that share a database, each with its book, its gate and its administration, without Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
from psycopg import sql

from funnel.http import HttpProblem, create_app
from funnel.postgres import Database
from funnel.runtime import Application
from funnel.settings import Settings
from services.ingest import admin
from services.ingest.domain.access import Caller, Use
from services.ingest.domain.receipt import NO_PARAMETERS
from services.ingest.gate import Gate
from services.ingest.sources import SourceBook
from tests.support.serving import serving

HERE = "http://127.0.0.1:8000"
TOKEN = "a token of the tests"


@dataclass(frozen=True)
class Process:
    """What one ingest process has to do with sources."""

    book: SourceBook
    gate: Gate
    client: httpx.AsyncClient

    def lets_in(self, key: str, use: Use = Use.EVENTS) -> bool:
        return self.refusal(key, use) is None

    def refusal(self, key: str, use: Use = Use.EVENTS) -> str | None:
        """The slug of the problem that a post with `key` is answered with, or None."""
        try:
            self.admit(key, use)
        except HttpProblem as problem:
            return problem.slug
        return None

    def admit(self, key: str, use: Use = Use.EVENTS) -> Caller:
        return self.gate.admit(use, NO_PARAMETERS, f"Bearer {key}".encode(), None)

    async def add(self, name: str = "shop", **fields: Any) -> dict[str, Any]:
        answer = await self.client.post("/v1/sources", json={"name": name, **fields})
        assert answer.status_code == 201, answer.text
        added: dict[str, Any] = answer.json()
        return added

    async def rotate(self, name: str, kind: str, expires_old_after: int | None = None) -> httpx.Response:
        body = {"kind": kind, "expires_old_after": expires_old_after}
        return await self.client.post(f"/v1/sources/{name}/keys", json=body)


async def ready_endpoint() -> dict[str, str]:
    return {}


@asynccontextmanager
async def process(
    dsn: str, *, admin_token: str = TOKEN, as_admin: bool = True, **settings: Any
) -> AsyncIterator[Process]:
    """A process whose book follows the database at `dsn`. `settings` are FUNNEL_* settings.

    Its client sends the admin token unless `as_admin` is False.
    """
    database = Database.lazy(dsn, schema="ingest", application_name="tests of sources")
    book = SourceBook(database)
    told = Settings(postgres_dsn=dsn, admin_token=admin_token, **settings)
    http = create_app("tests", ready=ready_endpoint)
    http.include_router(admin.routes(database, book, told))
    stop = asyncio.Event()
    following = asyncio.create_task(book.run(stop))
    transport = httpx.ASGITransport(http, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {admin_token}"} if as_admin else {}
    try:
        async with httpx.AsyncClient(transport=transport, base_url=HERE, headers=headers) as client:
            yield Process(book, Gate(book, keys_required=told.keys_required), client)
    finally:
        stop.set()
        await following
        await database.close()


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[SourceBook]:
    """The administration alone, where commands find ingest. The value is its book."""
    database = Database.lazy(settings.postgres_dsn, schema="ingest", application_name="tests of sources")
    book = SourceBook(database)
    http = create_app("tests", ready=ready_endpoint)
    http.include_router(admin.routes(database, book, settings))
    try:
        async with serving(Application("ingest", http, [book], settings.host, settings.ingest_port)):
            yield book
    finally:
        await database.close()


@asynccontextmanager
async def processes(dsn: str, number: int) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as started:
        yield [await started.enter_async_context(process(dsn)) for _ in range(number)]


@contextmanager
def switched_off(server_dsn: str, dsn: str) -> Iterator[Callable[[], None]]:
    """Nobody is or gets connected to the database at `dsn`, until the value is called or the block ends."""
    name = urlsplit(dsn).path.removeprefix("/")
    with psycopg.connect(server_dsn, autocommit=True) as connection:

        def allow(yes: bool) -> None:
            allowed = sql.Literal(yes)
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), allowed))

        allow(False)
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield lambda: allow(True)
        finally:
            allow(True)
