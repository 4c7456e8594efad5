"""Postgres behind one small surface: transactions, named SQL, migrations. The only place that knows asyncpg."""

from funnel.postgres.database import Database, Row, Transaction
from funnel.postgres.listener import Listener
from funnel.postgres.queries import Queries, load_queries

__all__ = ["Database", "Listener", "Queries", "Row", "Transaction", "load_queries"]
