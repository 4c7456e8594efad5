"""Ingest's spool and its drain outside of the service, and what Postgres says of it to a client that is not ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from funnel.kafka.producer import Producer
from funnel.postgres import Database
from funnel.settings import Settings
from services.ingest.spool import Spool
from services.ingest.storage import Drain, Kafka
from tests.support.eventually import eventually


@asynccontextmanager
async def spool_of(settings: Settings, replica: str = "a") -> AsyncIterator[Spool]:
    """The spool as the process `replica` has it."""
    database = Database.lazy(settings.postgres_dsn, schema="ingest", application_name=replica)
    prefix, waived = settings.topic_prefix, settings.waive_replication
    try:
        yield Spool(database, replica=replica, topic_prefix=prefix, waive_replication=waived)
    finally:
        await database.close()


@asynccontextmanager
async def kafka_of(settings: Settings) -> AsyncIterator[Kafka]:
    """The log as a process of its own has it."""
    producer = await Producer.open(settings)
    try:
        yield Kafka(producer)
    finally:
        await producer.close()


def ask(settings: Settings, query: str) -> list[tuple[object, ...]]:
    """The rows of a statement in ingest's schema, committed."""
    with psycopg.connect(settings.postgres_dsn, options="-c search_path=ingest") as connection:
        found = connection.execute(query.encode())
        return found.fetchall() if found.description is not None else []


def rows(settings: Settings) -> int:
    """How many rows the spool holds."""
    return int(str(ask(settings, "SELECT count(*) FROM spool")[0][0]))


def claims_run_out(settings: Settings) -> None:
    """As if everybody who had rows in hand had died long ago."""
    ask(settings, "UPDATE spool SET claimed_until = '-infinity'")


async def drained(settings: Settings, *drains: Drain, left: int = 0) -> None:
    """Let the drains work until the spool holds only so many rows."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(drain.run(stop)) for drain in drains]
    try:
        await eventually(lambda: rows(settings) == left)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
