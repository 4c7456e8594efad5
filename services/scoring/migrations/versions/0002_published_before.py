"""What was published about leads that a failover took out of the database."""

from funnel.postgres.migrate import run_sql_beside

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql_beside(__file__)
