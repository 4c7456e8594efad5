"""Connections and transactions. Every driver error leaves here as one of three: away, conflict or bad data.

A DSN may name several servers, of which one is the primary: each connection goes to the one that takes writes. A
process lives on one timeline of that server (`Database.timeline`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import structlog
from asyncpg.connect_utils import SessionAttribute

from funnel.errors import BadData, Conflict, DatabaseAway, FunnelError, TimelineChanged
from funnel.postgres.hosts import one_by_one

Row = Mapping[str, Any]

# A session that stops talking inside a transaction holds row locks; after this long the server ends it, which is
# what lets a take-over proceed past a frozen owner. As long as a lease, so that neither outlives the other by much.
IDLE_IN_TRANSACTION_SECONDS = 3
LOCK_TIMEOUT_SECONDS = 10
STATEMENT_TIMEOUT_SECONDS = 30
ANSWER_TIMEOUT_SECONDS = 35  # the server ends a statement before that; beyond it the server itself is frozen
CONNECT_TIMEOUT_SECONDS = 5
CLOSE_TIMEOUT_SECONDS = 2

_SESSION = {
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
    "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS}s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",
    "jit": "off",  # statements here are short; compiling them costs more than running them
}
_BEGIN_BY_KEY = """
BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off
"""
# A deadline must not interrupt COMMIT: a cancel while waiting for the standby leaves it committed but unproved.
_COMMIT = "SET LOCAL statement_timeout = 0; COMMIT"
_NO_DEADLINE_SECONDS = 24 * 60 * 60.0

# 25006: this server was demoted to read-only, so the connection points at the wrong one.
_AWAY = ("08", "57", "53", "25006", "25P03", "58")
_CONFLICT = ("40001", "40P01", "55P03")
_BAD_DATA = ("22", "23", "54")

# The last one: a server that answers what its protocol does not allow here, or takes no writes.
_UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# Which history the data is of: another server, a promoted standby, a restored backup each have another answer.
_TIMELINE = """
SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()
"""

_encoder = msgspec.json.Encoder()
log = structlog.get_logger(__name__)


class Transaction:
    """One open transaction. Statements run one after another on its connection."""

    __slots__ = ("_connection",)

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """All rows of the statement."""
        rows: list[Row] = await self._connection.fetch(sql, *args)
        return rows

    async def fetch_one(self, sql: str, *args: object) -> Row | None:
        """The first row, or None."""
        row: Row | None = await self._connection.fetchrow(sql, *args)
        return row

    async def fetch_value(self, sql: str, *args: object) -> Any:
        """The first column of the first row, or None."""
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> str:
        """Run the statement for its effect; returns the command tag, such as `INSERT 0 3`."""
        return await self._connection.execute(sql, *args)

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Append `rows` to `table` in order: a third of the cost of INSERT with arrays, where no conflict can arise."""
        await self._connection.copy_records_to_table(table, columns=list(columns), records=rows)


class Database:
    """A few connections to one service's schema. Connections that saw an unexpected error are closed, not reused."""

    def __init__(self, dsn: str, settings: Mapping[str, str], size: int, *, follows: bool) -> None:
        self._servers = one_by_one(dsn)
        self._settings = dict(settings)
        self._size = size
        self._follows = follows
        self._idle: list[asyncpg.Connection[Any]] = []
        self.timeline = ""
        """The timeline that the last connection was on; empty before the first."""

    @classmethod
    async def open(
        cls, dsn: str, *, schema: str, application_name: str, size: int = 4, durable: bool = True, timeline: str = ""
    ) -> Database:
        """Connect once to see that the server answers.

        Keeps up to `size` idle connections. `durable=False`: COMMIT does not wait for the log, for facts that can be
        found again. Raises DatabaseAway when the server cannot be reached, and, as does whatever needs a connection
        later, TimelineChanged when the server is not on `timeline` (empty: that of the first connection).
        """
        database = cls(dsn, _session(schema, application_name, durable), size, follows=False)
        database.timeline = timeline
        database._idle.append(await database._connect())
        return database

    @classmethod
    def lazy(cls, dsn: str, *, schema: str, application_name: str, size: int = 4) -> Database:
        """Like `open`, but connects on first use, and follows the server to any timeline.

        For a process that has work to do while Postgres is away, and keeps nothing that depends on it.
        """
        return cls(dsn, _session(schema, application_name, durable=True), size, follows=True)

    @asynccontextmanager
    async def transaction(self, *, by_key: bool = False) -> AsyncIterator[Transaction]:
        """Open a transaction, commit it when the block ends, roll it back when the block raises.

        `by_key`: every statement finds a few rows of large tables by their keys. While the statistics still tell of
        small tables (the first minutes of a fresh database), the planner would rather read whole tables, and keep
        that plan; this forbids it.
        Raises DatabaseAway (after COMMIT was sent its fate is unknown: re-read what it would have changed),
        Conflict (nothing happened, redo it), BadData (nothing happened, redoing it fails again).
        """
        async with self._borrowed() as connection:
            await connection.execute(_BEGIN_BY_KEY if by_key else "BEGIN")
            yield Transaction(connection)
            await connection.execute(_COMMIT, timeout=_NO_DEADLINE_SECONDS)

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """All rows of one statement, which is a transaction of its own. Raises as `transaction` does."""
        async with self._borrowed() as connection:
            return await Transaction(connection).fetch(sql, *args)

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        connection = self._idle.pop() if self._idle else await self._connect()
        healthy = False
        try:
            yield connection
            healthy = True
        except BaseException as error:
            healthy = await _roll_back(connection, error)
            if (known := translate(error)) is not None:
                if isinstance(known, DatabaseAway):
                    self._drop_idle()  # they lead to the same server, which is gone or takes no writes any more
                raise known from error
            raise
        finally:
            if healthy and len(self._idle) < self._size and not connection.is_closed():
                self._idle.append(connection)
            else:
                connection.terminate()

    async def dedicated(self) -> asyncpg.Connection[Any]:
        """A connection of the caller's own (LISTEN); the caller closes it. Raises DatabaseAway."""
        return await self._connect()

    async def close(self) -> None:
        """Close the idle connections, within CLOSE_TIMEOUT_SECONDS even when the server is away."""
        idle, self._idle = self._idle, []
        # A polite end that fails is followed by a rude one, in the driver.
        ends = (connection.close(timeout=CLOSE_TIMEOUT_SECONDS) for connection in idle)
        await asyncio.gather(*ends, return_exceptions=True)

    def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()

    async def _connect(self) -> asyncpg.Connection[Any]:
        """A connection to the server that takes writes; the one that last did is asked first."""
        if len(self._servers) > 1 and (self._follows or not self.timeline):
            await self._put_newest_first()
        failures: list[str] = []
        elsewhere: TimelineChanged | None = None
        for server in list(self._servers):
            try:
                return await self._connect_to(server)
            except BaseException as error:
                # Also when whoever waits has given up: a server that is frozen must not be the first one for ever.
                self._servers = [*(other for other in self._servers if other != server), server]
                if isinstance(error, TimelineChanged):
                    elsewhere = error
                elif not isinstance(error, _UNREACHABLE):
                    raise
                failures.append(f"{type(error).__name__}: {error}")
        raise elsewhere or DatabaseAway(f"Postgres cannot be reached ({'; '.join(failures)}).")

    async def _put_newest_first(self) -> None:
        """A primary that was replaced, and that nobody ended, takes writes too; but its timeline is the lower one."""

        async def timeline_of(server: str) -> int:
            try:
                connection = await self._dial(server)
            except _UNREACHABLE:
                return -1
            try:
                return int((await connection.fetchval(_TIMELINE)).rpartition("/")[2], 16)
            except _UNREACHABLE:
                return -1
            finally:
                connection.terminate()

        found = await asyncio.gather(*map(timeline_of, self._servers))
        newest = dict(zip(self._servers, found, strict=True))
        self._servers.sort(key=lambda server: -newest[server])

    async def _dial(self, server: str) -> asyncpg.Connection[Any]:
        return await asyncpg.connect(
            server,
            server_settings=self._settings,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=ANSWER_TIMEOUT_SECONDS,
            target_session_attrs=SessionAttribute.read_write,
        )

    async def _connect_to(self, server: str) -> asyncpg.Connection[Any]:
        connection = await self._dial(server)
        try:
            await connection.set_type_codec(
                "jsonb",
                schema="pg_catalog",
                encoder=lambda value: _encoder.encode(value).decode(),
                decoder=msgspec.json.decode,
            )
            self._note_timeline(await connection.fetchval(_TIMELINE))
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _note_timeline(self, timeline: str) -> None:
        before = self.timeline or timeline
        if timeline != before and not self._follows:
            raise TimelineChanged(
                f"Postgres is on timeline {timeline} and was on {before}: a standby was promoted, or a backup "
                "restored. Started anew, the service compares its tables with what it had published."
            )
        if timeline != before:
            log.warning("timeline_changed", before=before, now=timeline)
        self.timeline = timeline


def _session(schema: str, application_name: str, durable: bool) -> dict[str, str]:
    settings = {**_SESSION, "search_path": schema, "application_name": application_name}
    return settings if durable else {**settings, "synchronous_commit": "off"}


async def _roll_back(connection: asyncpg.Connection[Any], error: BaseException) -> bool:
    """Leave the connection clean; False when it cannot be trusted any more."""
    known = translate(error)
    if connection.is_closed() or not isinstance(error, Exception) or isinstance(known, DatabaseAway):
        return False
    if known is None and isinstance(error, asyncpg.PostgresError):
        return False  # such as a plan from before a migration: a new connection may do better
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


def translate(error: BaseException) -> FunnelError | None:
    """The product's name for a driver error, or None when it is not one of the three."""
    if isinstance(error.__cause__, TypeError):
        return None  # the driver got an argument of the wrong Python type: our bug, which must not pass for bad data
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state.startswith(_CONFLICT):
            return Conflict(f"The transaction met another one ({state}: {error}).")
        if state.startswith(_AWAY):
            return DatabaseAway(f"Postgres ended the connection ({state}: {error}).")
        if state.startswith(_BAD_DATA):
            return BadData(f"Postgres refused a value ({state}: {error}).")
        return None
    if isinstance(error, UnicodeEncodeError):
        return BadData(f"A value cannot be sent to Postgres ({error}).")
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return BadData(f"Postgres cannot hold a value ({error}).")
    if isinstance(error, (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
        return DatabaseAway(f"The connection to Postgres broke ({type(error).__name__}: {error}).")
    return None
