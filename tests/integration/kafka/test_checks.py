"""A service does not start where its promise would not hold."""

from __future__ import annotations

import asyncpg
import pytest

from funnel.errors import UnsafeSettings
from funnel.kafka.checks import assert_c_extension, assert_replicated
from funnel.postgres import Database
from funnel.postgres.checks import assert_durable
from funnel.settings import Settings


async def test_one_replica_is_refused_unless_waived(settings: Settings) -> None:
    await assert_replicated(settings, ["lead-events"])
    strict = settings.model_copy(update={"waive_replication": False})
    with pytest.raises(UnsafeSettings, match=r"lead-events has 1 replicas and min\.insync\.replicas = 1"):
        await assert_replicated(strict, ["lead-events"])


async def test_a_missing_topic_is_refused_by_name(settings: Settings) -> None:
    with pytest.raises(UnsafeSettings, match="nowhere does not exist"):
        await assert_replicated(settings, ["nowhere"])


def test_the_compiled_parts_of_the_client_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_c_extension()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UnsafeSettings, match=r"aiokafka\.record\._crecords is missing"):
        assert_c_extension()


async def test_postgres_without_a_standby_is_refused_unless_waived(database_dsn: str) -> None:
    database = await Database.open(database_dsn, schema="scoring", application_name="test")
    try:
        await assert_durable(database, waive_replication=True)
        with pytest.raises(UnsafeSettings, match="no synchronous standby"):
            await assert_durable(database, waive_replication=False)
    finally:
        await database.close()


@pytest.mark.parametrize("value", ["off", "local"])
async def test_commits_that_do_not_wait_are_refused(database_dsn: str, value: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = {value}')
    await connection.close()
    database = await Database.open(database_dsn, schema="scoring", application_name="test")
    try:
        with pytest.raises(UnsafeSettings, match=f"synchronous_commit = {value}"):
            await assert_durable(database, waive_replication=True)
    finally:
        await database.close()
