"""What the auditor found, and how far it is."""

from funnel.postgres.migrate import run_sql_beside

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql_beside(__file__)
