"""Tables by the catalogue, row by row as JSON, as of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from chaos.checker.product import READERS, SCHEMAS, SECRET_TABLES

_TABLES: Final = """
    SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY (%s) ORDER BY schemaname, tablename
"""

# A row is one line: in the text of a JSON value line ends stand between its parts only. The quote and the delimiter
# are control characters, which JSON has in escaped form, so the lines come out as they are.
_COPY: Final = sql.SQL(
    "COPY (SELECT translate(row_to_json(t)::text, E'\\n\\r', '  ') FROM {} AS t)"
    " TO STDOUT (FORMAT csv, QUOTE E'\\x01', ESCAPE E'\\x01', DELIMITER E'\\x02')"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the services are. `waiting`: rows in outboxes and in the spool."""

    next_offsets: Mapping[tuple[str, str, int], int]
    waiting: int


def write_tables(dsn: str, folder: Path) -> None:
    """Write each table of the services to `folder`/schema.table.jsonl, but for what is secret."""
    folder.mkdir(parents=True, exist_ok=True)
    with psycopg.connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        connection.execute("SET LOCAL TIME ZONE 'UTC'")
        tables = connection.execute(_TABLES, [list(SCHEMAS)]).fetchall()
        for schema, table in tables:
            if (name := f"{schema}.{table}") not in SECRET_TABLES:
                query = _COPY.format(sql.Identifier(schema, table))
                with (folder / f"{name}.jsonl").open("wb") as file, connection.cursor().copy(query) as copy:
                    for block in copy:
                        file.write(block)


def standing(connection: psycopg.Connection) -> Standing:
    """Where the services stand now."""
    next_offsets: dict[tuple[str, str, int], int] = {}
    waiting = _count(connection, "ingest", "spool")
    for service in READERS:
        query = sql.SQL("SELECT topic, partition, next FROM {} WHERE next IS NOT NULL")
        for topic, number, offset in connection.execute(query.format(sql.Identifier(service, "position"))):
            next_offsets[service, topic, number] = offset
        waiting += _count(connection, service, "outbox")
    return Standing(next_offsets, waiting)


def _count(connection: psycopg.Connection, schema: str, table: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
