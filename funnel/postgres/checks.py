"""What must be true of the Postgres server before a service may start."""

from __future__ import annotations

from collections.abc import Sequence

from funnel.errors import UnsafeSettings
from funnel.postgres.database import Database, Transaction

_SQL = """
SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('synchronous_standby_names') AS standbys, pg_is_in_recovery() AS standby
"""


async def assert_durable(database: Database | Transaction, *, waive_replication: bool) -> None:
    """A committed transaction survives a crash and, unless waived, the loss of the primary.

    Raises UnsafeSettings naming the setting, and what `database` raises.
    """
    row = (await database.fetch(_SQL))[0]
    for name in ("fsync", "full_page_writes"):
        if row[name] != "on":
            raise UnsafeSettings(f"Postgres runs with {name} = {row[name]}: a crash would lose leads; set it to on.")
    if row["synchronous_commit"] in ("off", "local"):
        raise UnsafeSettings(
            f"Postgres runs with synchronous_commit = {row['synchronous_commit']}: set it to on for this database."
        )
    if row["standby"]:
        raise UnsafeSettings("Postgres is in recovery: FUNNEL_POSTGRES_DSN points at a standby, not at the primary.")
    if not row["standbys"] and not waive_replication:
        raise UnsafeSettings(
            "Postgres has no synchronous standby (synchronous_standby_names is empty): losing the primary would lose "
            "leads; set FUNNEL_WAIVE_REPLICATION=true to accept that."
        )


async def assert_migrated(database: Database | Transaction, tables: Sequence[str]) -> None:
    """The tables are there. Raises UnsafeSettings naming one that is not, and what `database` raises."""
    found = await database.fetch("SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL", tables)
    if found:
        raise UnsafeSettings(f"Postgres has no table {found[0]['name']} for this service: run `funnel migrate`.")
