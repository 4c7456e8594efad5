"""The product's Postgres: a primary and a synchronous standby, reached by the product through a proxy each."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from chaos.cluster.postgres_pair import HOST, PostgresPair
from chaos.cluster.proxies import Proxies


class Postgres:
    """A running pair and the ways to it. `pair` is for those who mistreat it."""

    def __init__(self, pair: PostgresPair, proxies: Proxies | None, name: str = "postgres") -> None:
        self.pair = pair
        self._proxies = proxies
        nodes = (pair.primary, pair.standby)
        self.proxy_names = {node.name: f"{name}-{node.name}" for node in nodes}
        """The proxy before each server, by its name: "one" is the first primary, "two" the first standby."""
        self._ports = [proxies.add(self.proxy_names[node.name], node.port) if proxies else node.port for node in nodes]

    def direct(self, database: str) -> str:
        """DSN of `database` on who is primary now, around the proxy."""
        return self.pair.primary.dsn_of(database)

    def client(self, database: str) -> str:
        """DSN of `database` for the product: both servers, through the proxies."""
        hosts = ",".join(f"{HOST}:{port}" for port in self._ports)
        return f"postgresql://postgres@{hosts}/{database}"

    def create(self, database: str) -> None:
        """An empty database."""
        with psycopg.connect(self.direct("postgres"), autocommit=True) as connection:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0")
            connection.execute(statement.format(sql.Identifier(database)))

    def drop(self, database: str) -> None:
        """Remove a database and whoever uses it."""
        with psycopg.connect(self.direct("postgres"), autocommit=True) as connection:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(database)))

    def close(self) -> None:
        """End both servers and take their proxies away."""
        self.pair.close()
        if self._proxies:
            for name in self.proxy_names.values():
                self._proxies.remove(name)


def start(folder: Path, proxies: Proxies | None, *, synchronous: bool = True, name: str = "postgres") -> Postgres:
    """A new pair with its data in `folder`; ends with the calling thread. Raises StackError."""
    pair = PostgresPair(folder, synchronous=synchronous)
    try:
        pair.start()
        return Postgres(pair, proxies, name)
    except BaseException:
        pair.close()
        raise
