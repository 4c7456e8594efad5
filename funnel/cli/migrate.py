"""`funnel migrate`: the tables and topics of servers that are not ours to start."""

from __future__ import annotations

import asyncio

import typer

from funnel import topics
from funnel.postgres.migrate import migrate as bring_tables_up_to_date
from funnel.settings import Settings


def migrate() -> None:
    """Bring the tables of every service up to date and create the topics that are missing.

    `funnel up` does this itself. With servers of your own, run it before the services are started; it may be run at
    any time and by several at once. A topic that exists is never changed: what differs from its file is printed.
    Exit code 1: a server could not be reached, or refused.
    """
    settings = Settings()
    bring_tables_up_to_date(settings.postgres_dsn)
    typer.echo("The tables are up to date.")
    differences = asyncio.run(
        topics.ensure_topics(
            settings.kafka_bootstrap, prefix=settings.topic_prefix, environment=topics.environment(settings)
        )
    )
    typer.echo("The topics exist.")
    for difference in differences:
        typer.echo(f"note: {difference}", err=True)
