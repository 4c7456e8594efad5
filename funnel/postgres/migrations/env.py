"""Alembic's environment: everything is in `funnel.postgres.migrate`."""

from funnel.postgres.migrate import run_migrations

run_migrations()
