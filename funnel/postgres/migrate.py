"""Schema migrations by Alembic, plain SQL files, one version line per service schema.

Each service's schema has two branches that move independently: the spine's own tables (kept with the spine) and the
service's tables (kept with the service).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command, context
from alembic import op as operations
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from funnel.errors import DatabaseAway
from funnel.postgres.hosts import to_primary

SERVICES = ("ingest", "scoring", "routing", "metrics")
_ROOT = Path(__file__).resolve().parents[2]
_LOCK = 0x46554E4E  # one migration at a time in a database, whoever starts it


def migrate(dsn: str, services: Sequence[str] = SERVICES) -> None:
    """Bring the schemas of `services` to the newest version; does nothing where they are.

    Safe to run from several processes at once. Raises DatabaseAway when the server cannot be reached.
    """
    engine = sqlalchemy.create_engine(  # SQLAlchemy's own URLs cannot name several servers
        "postgresql+psycopg://", creator=lambda: psycopg.connect(to_primary(dsn)), poolclass=sqlalchemy.NullPool
    )
    try:
        with engine.connect() as connection, connection.begin():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            for service in services:
                _migrate_service(connection, service)
    except sqlalchemy.exc.OperationalError as error:
        raise DatabaseAway(f"Postgres cannot be reached for the migrations ({error.orig}).") from error
    finally:
        _dispose(engine)


def _migrate_service(connection: Connection, service: str) -> None:
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {service}"))
    connection.execute(text(f"SET LOCAL search_path TO {service}"))
    for branch, folder in _branches(service):
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "newline")
        config.set_main_option("version_locations", str(folder))
        config.attributes.update(connection=connection, schema=service, version_table=f"migration_{branch}")
        command.upgrade(config, "head")


def _branches(service: str) -> list[tuple[str, Path]]:
    folders = [("spine", _ROOT / "funnel" / "spine" / "migrations" / "versions")] if service != "ingest" else []
    own = _ROOT / "services" / service / "migrations" / "versions"
    return [*folders, ("service", own)] if own.is_dir() else folders


def run_migrations() -> None:
    """What Alembic's environment file calls: run the pending versions on the caller's connection."""
    attributes = context.config.attributes
    context.configure(
        connection=attributes["connection"],
        version_table=attributes["version_table"],
        version_table_schema=attributes["schema"],
    )
    context.run_migrations()


def run_sql_beside(file: str) -> None:
    """Execute the SQL file that lies beside the migration `file` and has its name."""
    operations.get_bind().exec_driver_sql(Path(file).with_suffix(".sql").read_text(encoding="utf-8"))


def _dispose(engine: Engine) -> None:
    engine.dispose()
