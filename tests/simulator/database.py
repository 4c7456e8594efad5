"""PostgreSQL as the spine sees it: sessions, READ COMMITTED, row locks, commits, and all that can go wrong with them.

A statement is known by its text and done by a function (see `statements`). One that may wait for a row is a generator
that yields each row it wants to lock: what it read before is its snapshot, what it reads afterwards is the row as it is
then, as in PostgreSQL. Between two `yield`s nothing else happens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from funnel.errors import Conflict, DatabaseAway, TimelineChanged
from funnel.postgres import Database, Row, Transaction
from funnel.postgres.database import IDLE_IN_TRANSACTION_SECONDS, LOCK_TIMEOUT_SECONDS
from tests.simulator.timeline import Process, Timeline
from tests.simulator.trace import Trace

DEADLOCK_SECONDS = 1.0
NAP_SECONDS = 0.0008
"""Scale of the time from a request to its answer."""

Key = Hashable
Rows = list[dict[str, Any]]
Waiting = Generator[tuple[str, Key], None, Rows]
Statement = Callable[..., Rows | Waiting]
Change = tuple[str, Key, Row | None, Row | None]
"""Table, key, the row before and after; None where there was or is none."""


@dataclass
class DatabaseFaults:
    """What goes wrong now. Probabilities are per statement (`slow`, `cut`) and per COMMIT (the others)."""

    slow: float = 0.0
    slow_seconds: float = 1.0
    cut: float = 0.0
    answer_lost: float = 0.0
    commit_lost: float = 0.0
    away_until: float = 0.0
    hangs_until: float = 0.0


@dataclass(slots=True)
class Lock:
    """A locked row."""

    holder: Session
    queue: deque[tuple[Session, asyncio.Future[None]]] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Commit:
    """One committed transaction, with what it takes to undo it."""

    at: float
    schema: str
    changes: Sequence[Change]
    durable: bool
    sequences: Mapping[tuple[str, str], int]


class Server:
    """The database server; everything in it survives the processes that talk to it."""

    def __init__(self, timeline: Timeline, random: Random, trace: Trace, statements: Mapping[str, Statement]) -> None:
        self.timeline = timeline
        self.random = random
        self.trace = trace
        self.statements = statements
        self.faults = DatabaseFaults()
        self.process = timeline.process("postgres")
        self.tables: dict[str, dict[str, dict[Key, Row]]] = {}
        self.sequences: dict[tuple[str, str], int] = {}
        self.locks: dict[tuple[str, str, Key], Lock] = {}
        self.sessions: dict[int, Session] = {}
        self.commits: list[Commit] = []
        self.watchers: list[Callable[[Session, Sequence[Change]], None]] = []
        self.life = 0
        """Grows with every end of all connections."""
        self.history = 1
        """Grows with every failover that lost something: the timeline of the server."""
        self._opened = 0

    def table(self, schema: str, name: str) -> dict[Key, Row]:
        """The committed rows of a table, by key."""
        return self.tables.setdefault(schema, {}).setdefault(name, {})

    def open(self, process: Process, schema: str, *, durable: bool) -> Session:
        self._opened += 1
        session = Session(self, self._opened, process, schema, durable)
        self.sessions[self._opened] = session
        return session

    def cut_all(self) -> None:
        """End every connection; COMMITs under way are lost."""
        self.life += 1
        for session in list(self.sessions.values()):
            session.end()

    def crash(self, away_seconds: float) -> None:
        """It dies and recovers: of what was committed without waiting for the log, the end is lost."""
        self.cut_all()
        while self.commits and not self.commits[-1].durable and self.random.random() < 0.5:
            self._undo(self.commits.pop())
        self.faults.away_until = self.timeline.now + away_seconds

    def fail_over(self, lost: int, away_seconds: float) -> list[Commit]:
        """A standby takes over that had not got the last `lost` commits. Returns those."""
        self.cut_all()
        self.history += 1
        gone = [self.commits.pop() for _ in range(min(lost, len(self.commits)))]
        for commit in gone:
            self._undo(commit)
        self.faults.away_until = self.timeline.now + away_seconds
        return gone

    def _undo(self, commit: Commit) -> None:
        for table, key, before, _ in reversed(commit.changes):
            if before is None:
                self.table(commit.schema, table).pop(key, None)
            else:
                self.table(commit.schema, table)[key] = before
        self.sequences.update(commit.sequences)

    async def nap(self) -> None:
        """The time that an answer takes."""
        future = asyncio.get_running_loop().create_future()
        delay = self.random.random() * NAP_SECONDS
        if self.faults.slow and self.random.random() < self.faults.slow:
            delay += self.random.random() * self.faults.slow_seconds
        asyncio.get_running_loop().call_later(delay, _settle, future)
        await future


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Session:
    """One connection with, at most, one transaction: from its opening to its end."""

    def __init__(self, server: Server, number: int, process: Process, schema: str, durable: bool) -> None:
        self.server = server
        self.number = number
        self.process = process
        self.schema = schema
        self.durable = durable
        self.alive = True
        self.lock_timeout = float(LOCK_TIMEOUT_SECONDS)
        self._tables = server.tables.setdefault(schema, {})
        self._written: dict[str, dict[Key, Row | None]] = {}
        self._locks: list[tuple[str, str, Key]] = []
        self._sequences: dict[tuple[str, str], int] = {}
        self._idle_since: float | None = server.timeline.now
        self._awaits: Lock | None = None
        self._committing = False

    # -- rows, for the statements --------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """clock_timestamp(), in seconds."""
        return self.server.timeline.now

    def get(self, table: str, key: Key) -> Row | None:
        """The row as this transaction sees it."""
        written = self._written.get(table)
        if written is not None and key in written:
            return written[key]
        return self._tables.setdefault(table, {}).get(key)

    def items(self, table: str) -> list[tuple[Any, Row]]:
        """All rows as this transaction sees them, by key, in no promised order."""
        committed = self._tables.setdefault(table, {})
        written = self._written.get(table)
        if not written:
            return list(committed.items())
        return [(key, row) for key, row in (committed | written).items() if row is not None]

    def rows(self, table: str) -> list[Row]:
        return [row for _, row in self.items(table)]

    def put(self, table: str, key: Key, row: Row) -> None:
        """Insert or replace. The row must be locked by this session, or new."""
        self._written.setdefault(table, {})[key] = row

    def delete(self, table: str, key: Key) -> None:
        self._written.setdefault(table, {})[key] = None

    def draw(self, table: str) -> int:
        """The next number of the table's identity column; given back by no rollback."""
        place = (self.schema, table)
        self._sequences.setdefault(place, self.server.sequences.get(place, 0))
        number = self.server.sequences.get(place, 0) + 1
        self.server.sequences[place] = number
        return number

    def holds(self, table: str, key: Key) -> bool:
        lock = self.server.locks.get((self.schema, table, key))
        return lock is not None and lock.holder is self

    def try_lock(self, table: str, key: Key) -> bool:
        """Lock the row unless another session has it."""
        place = (self.schema, table, key)
        lock = self.server.locks.get(place)
        if lock is None:
            self.server.locks[place] = Lock(self)
            self._locks.append(place)
            return True
        return lock.holder is self

    def unlock(self, table: str, key: Key) -> None:
        """Give back a lock that turned out not to be wanted."""
        place = (self.schema, table, key)
        self._locks.remove(place)
        self._pass_on(place)

    # -- statements ----------------------------------------------------------------------------------------------

    async def execute(self, sql: str, args: Sequence[object], *, answer: bool = True) -> Rows:
        """Do the statement with this text. Raises DatabaseAway or Conflict: then the transaction can only end."""
        statement = self.server.statements.get(sql)
        if statement is None:
            raise LookupError(f"the simulator does not know this statement: {sql}")
        return await self.perform(statement, args, answer=answer)

    async def perform(self, statement: Statement, args: Sequence[object], *, answer: bool = True) -> Rows:
        """Do a statement given as a function."""
        await self._reach()
        result = statement(self, *args)
        if isinstance(result, Generator):
            result = await self._wait_for(result)
        self._idle_since = self.now
        if answer:
            await self.server.nap()
        return result

    async def commit(self) -> None:
        """Commit. Raises DatabaseAway, and then it may have been done, or be done later."""
        await self._reach()
        faults, fate = self.server.faults, self.server.random.random()
        if fate < faults.commit_lost:
            self.end()
            await self.server.nap()
            raise DatabaseAway("COMMIT was not heard")
        fate -= faults.commit_lost
        self._committing = True
        if self._written and self.server.random.random() < 0.2:
            done = asyncio.get_running_loop().create_future()
            delay = self.server.random.random() * (1.0 if fate < faults.answer_lost else 0.02)
            self.server.process.call_later(delay, self._commit_late, done)
            await done
        else:
            self._apply()
        await self.server.nap()
        if fate < faults.answer_lost:
            raise DatabaseAway("the answer to COMMIT was lost")

    def end(self) -> None:
        """The connection ends: what is not committed never happened."""
        if not self.alive:
            return
        self._release()
        for lock in list(self.server.locks.values()):
            for waiter in [one for one in lock.queue if one[0] is self]:
                lock.queue.remove(waiter)
                if not waiter[1].done():
                    waiter[1].set_exception(DatabaseAway("the session was ended"))

    def leave(self) -> None:
        """The client is gone, and the server heard of it unless a COMMIT is under way: that still happens."""
        if not self._committing:
            self.end()

    def linger(self) -> None:
        """The client's machine is gone, and the server does not know: the session stays until it idled too long."""
        self._idle_since = self.now

    async def _reach(self) -> None:
        """Get a request to the server."""
        server, faults = self.server, self.server.faults
        if self.process.dying:
            raise DatabaseAway("nothing leaves this process any more")
        if self.now < faults.hangs_until:
            await asyncio.sleep(faults.hangs_until - self.now)
        self._expire()
        if faults.cut and server.random.random() < faults.cut:
            self.end()
        if not self.alive:
            await server.nap()
            raise DatabaseAway("the session was ended")
        self._idle_since = None

    def _expire(self) -> None:
        """End the session if it idled inside its transaction for too long."""
        if self._idle_since is not None and self._locks and self.now - self._idle_since >= IDLE_IN_TRANSACTION_SECONDS:
            self.server.trace.add(self.process.name, "idle-ended", self.number)
            self.end()

    async def _wait_for(self, statement: Waiting) -> Rows:
        try:
            table, key = next(statement)
            while True:
                if not self.try_lock(table, key):
                    await self._wait(self.server.locks[self.schema, table, key])
                table, key = statement.send(None)
        except StopIteration as end:
            rows: Rows = end.value
            return rows

    async def _wait(self, lock: Lock) -> None:
        loop = asyncio.get_running_loop()
        granted = loop.create_future()
        lock.queue.append((self, granted))
        self._awaits = lock
        self._watch(lock.holder)
        looks = loop.call_later(DEADLOCK_SECONDS, self._look_for_deadlock, lock, granted)
        limit = loop.call_later(self.lock_timeout, _refuse, granted, Conflict("lock timeout"))
        try:
            await granted
        except Conflict:
            lock.queue.remove((self, granted))
            raise
        finally:
            looks.cancel()
            limit.cancel()
            self._awaits = None
        self._expire()
        if not self.alive:
            raise DatabaseAway("the session was ended")
        self._idle_since = None

    def _watch(self, holder: Session) -> None:
        """See to it that a holder that says nothing is ended in time."""
        if holder.alive:
            since = self.now if holder._idle_since is None else holder._idle_since
            self.server.process.call_at(since + IDLE_IN_TRANSACTION_SECONDS, self._look_at, holder)

    def _look_at(self, holder: Session) -> None:
        holder._expire()
        if holder.alive and self.alive and self._awaits is not None and self._awaits.holder is holder:
            self.server.process.call_later(IDLE_IN_TRANSACTION_SECONDS / 2, self._look_at, holder)

    def _look_for_deadlock(self, lock: Lock, granted: asyncio.Future[None]) -> None:
        seen: set[Session] = {self}
        waits: Lock | None = lock
        while waits is not None and waits.holder not in seen:
            seen.add(waits.holder)
            waits = waits.holder._awaits
        if waits is not None and waits.holder is self:
            _refuse(granted, Conflict("deadlock detected"))

    def _commit_late(self, done: asyncio.Future[None]) -> None:
        if self.alive:
            self._apply()
            _settle(done)
        else:
            _refuse(done, DatabaseAway("the session was ended"))

    def _apply(self) -> None:
        changes = [
            (table, key, self._tables.setdefault(table, {}).get(key), row)
            for table, rows in self._written.items()
            for key, row in rows.items()
        ]
        for table, key, _, row in changes:
            if row is None:
                self._tables[table].pop(key, None)
            else:
                self._tables[table][key] = row
        if changes:
            self.server.commits.append(Commit(self.now, self.schema, changes, self.durable, self._sequences))
            if short := _short(changes):
                self.server.trace.add(self.process.name, "commit", short)
        self._release()
        for watcher in self.server.watchers:
            watcher(self, changes)

    def _release(self) -> None:
        self.alive = False
        self.server.sessions.pop(self.number, None)
        self._written = {}
        locks, self._locks = self._locks, []
        for place in locks:
            self._pass_on(place)

    def _pass_on(self, place: tuple[str, str, Key]) -> None:
        lock = self.server.locks[place]
        while lock.queue:
            session, granted = lock.queue.popleft()
            if granted.done() or not session.alive:
                continue
            lock.holder = session
            session._locks.append(place)
            session._idle_since = self.now  # if its client is frozen, nothing follows
            granted.set_result(None)
            for other, _ in lock.queue:
                other._watch(session)
            return
        del self.server.locks[place]


def _short(changes: Sequence[Change]) -> dict[str, object]:
    """What a transaction wrote: how many rows of each table, and what moved in the positions."""
    found: dict[str, object] = {}
    for table, key, before, after in changes:
        if table != "position" or before is None or after is None:
            found[table] = int(str(found.get(table, 0))) + 1
        elif any(before[name] != after[name] for name in ("next", "epoch", "owner")):
            found[f"{key}"] = tuple(after[name] for name in ("next", "epoch", "owner"))
    return found


def _refuse(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class FakeTransaction(Transaction):
    """A transaction on the fake."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        return list(await self._session.execute(sql, args))

    async def fetch_one(self, sql: str, *args: object) -> Row | None:
        rows = await self._session.execute(sql, args)
        return rows[0] if rows else None

    async def fetch_value(self, sql: str, *args: object) -> Any:
        rows = await self._session.execute(sql, args)
        return next(iter(rows[0].values())) if rows else None

    async def execute(self, sql: str, *args: object) -> str:
        return f"ROWS {len(await self._session.execute(sql, args))}"

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Append. Such tables here have an identity column, or no key at all, which comes to the same."""

        def append(session: Session) -> Rows:
            for row in rows:
                number = session.draw(table)
                session.put(table, number, {"id": number, **dict(zip(columns, row, strict=True))})
            return []

        await self._session.perform(append, ())


class FakeDatabase(Database):
    """One process's connections to one schema."""

    def __init__(self, server: Server, process: Process, schema: str, *, size: int = 4, durable: bool = True) -> None:
        self._server = server
        self._process = process
        self.schema = schema
        self._size = size
        self._durable = durable
        self.timeline = ""
        self._connections: list[int] = []
        """Those that are idle, each by the life of the server in which it was made."""

    @asynccontextmanager
    async def transaction(self, *, by_key: bool = False) -> AsyncIterator[Transaction]:
        async with self._session() as session:
            yield FakeTransaction(session)
            await session.commit()

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        async with self._session() as session:
            rows = await session.execute(sql, args, answer=False)
            await session.commit()
        return list(rows)

    async def close(self) -> None:
        return

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        """A connection, idle or new; idle again afterwards unless something unexpected happened to it."""
        server, life = self._server, await self._life()
        session = server.open(self._process, self.schema, durable=self._durable)
        try:
            yield session
        except BaseException as error:
            if self._process.lost:
                session.linger()
            else:
                session.leave()
            if isinstance(error, DatabaseAway):
                self._connections = []
            raise
        if len(self._connections) < self._size:
            self._connections.append(life)

    async def _life(self) -> int:
        """A connection: the life of the server in which it was made."""
        server = self._server
        if self._process.dying:
            raise DatabaseAway("nothing leaves this process any more")
        if self._connections:
            life = self._connections.pop()
            if life != server.life:  # only now does it turn out that it was cut
                self._connections = []
                raise DatabaseAway("the connection broke")
            return life
        await server.nap()
        if server.timeline.now < server.faults.away_until:
            raise DatabaseAway("Postgres cannot be reached")
        timeline = f"server/{server.history}"
        if self.timeline not in ("", timeline):
            raise TimelineChanged(f"Postgres is on timeline {timeline} and was on {self.timeline}")
        self.timeline = timeline
        return server.life
