"""Every driver error is one of three things, or a bug; a bug never passes for bad data."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from funnel.errors import BadData, Conflict, DatabaseAway, FunnelError
from funnel.postgres import Database
from funnel.postgres import database as module


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_dsn, schema="scoring", application_name="test")
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("sql", "args"),
    [
        ("SELECT $1::text", ["a\x00b"]),
        ("SELECT $1::text", ["lone \ud800"]),
        ("SELECT $1::int", [2**40]),
        ("SELECT ($1::text)::int", ["seven"]),
        ("SELECT $1::jsonb", [{"a": "\x00"}]),
        ("INSERT INTO inbox VALUES ($1, 'x', '')", [None]),
    ],
)
async def test_a_value_that_postgres_cannot_hold_is_bad_data(database: Database, sql: str, args: list[object]) -> None:
    with pytest.raises(BadData):
        await database.fetch(sql, *args)
    assert (await database.fetch("SELECT 1 AS one"))[0]["one"] == 1


@pytest.mark.parametrize("argument", [7, {"a": 1}, b"bytes"])
async def test_an_argument_of_the_wrong_type_is_a_bug_not_bad_data(database: Database, argument: object) -> None:
    with pytest.raises(Exception, match="expected str") as caught:
        await database.fetch("SELECT $1::text", argument)
    assert not isinstance(caught.value, FunnelError)


async def test_a_statement_that_is_wrong_is_a_bug_not_bad_data(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.fetch("SELECT * FROM nowhere")


async def test_a_lock_that_is_not_given_is_a_conflict(database: Database) -> None:
    async def impatient() -> None:
        async with database.transaction() as other:
            await other.execute("SET LOCAL lock_timeout = '50ms'")
            await other.execute("LOCK TABLE inbox")

    async with database.transaction() as holder:
        await holder.execute("LOCK TABLE inbox")
        with pytest.raises(Conflict):
            await impatient()


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
async def test_a_transaction_that_met_another_one_is_a_conflict(database: Database, state: str) -> None:
    """A serialization failure, a deadlock, a lock that was not given: nothing happened, it can be redone."""
    with pytest.raises(Conflict, match=state):
        await database.fetch(f"DO $$ BEGIN RAISE EXCEPTION 'met another' USING ERRCODE = '{state}'; END $$")
    assert (await database.fetch("SELECT 1 AS one"))[0]["one"] == 1


async def test_a_session_that_is_ended_is_a_database_that_is_away(database: Database) -> None:
    with pytest.raises(DatabaseAway):
        await database.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    assert (await database.fetch("SELECT 1 AS one"))[0]["one"] == 1


async def test_a_server_that_is_not_there_is_away(database_dsn: str) -> None:
    with pytest.raises(DatabaseAway, match="cannot be reached"):
        await Database.open("postgresql://postgres@127.0.0.1:1/none", schema="scoring", application_name="test")


async def test_what_raises_inside_a_transaction_leaves_nothing_behind(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO inbox VALUES ('s', 'e', '')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await database.fetch("SELECT 1 FROM inbox") == []


async def commit_slowly(dsn: str) -> None:
    """A transaction whose COMMIT takes its time, as it does while the standby is slow; it must be there afterwards."""
    database = await Database.open(dsn, schema="scoring", application_name="test")
    try:
        await database.fetch("CREATE TABLE slow (n int)")
        await database.fetch(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END'"
        )
        await database.fetch(
            "CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION wait()"
        )
        async with database.transaction() as tx:
            await tx.execute("INSERT INTO slow VALUES (1)")
        assert len(await database.fetch("SELECT n FROM slow")) == 1
    finally:
        await database.close()


async def test_no_deadline_of_the_server_interrupts_a_commit(
    database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module._SESSION, "statement_timeout", "500ms")
    await commit_slowly(database_dsn)


async def test_no_deadline_of_ours_interrupts_a_commit(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_SECONDS", 0.5)
    await commit_slowly(database_dsn)
