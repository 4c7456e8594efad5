"""A database of its own for every test, copied from a migrated template."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql


def dsn_of(server: str, database: str) -> str:
    """The DSN `server` with another database name."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


@contextmanager
def new_database(server: str, label: str, template: str = "template0") -> Iterator[str]:
    """DSN of a new database copied from `template`; dropped afterwards, with whoever is still connected."""
    name = f"{label}_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        try:
            yield dsn_of(server, name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
