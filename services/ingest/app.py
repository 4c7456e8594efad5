"""Builds the ingest service. The only place that names concrete classes; tests build the same."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import structlog

from funnel.clock import SystemClock
from funnel.http import create_app
from funnel.ids import new_event_id
from funnel.kafka.checks import assert_c_extension, assert_replicated
from funnel.kafka.producer import Producer
from funnel.postgres import Database
from funnel.runtime import Application, Worker
from funnel.settings import Settings
from services.ingest import admin, api, beacon, forms, openapi
from services.ingest.desk import Desk
from services.ingest.domain.forms.spam import token_key
from services.ingest.domain.kinds import EVENT, OUTCOME
from services.ingest.endpoint import Doors
from services.ingest.gate import Gate
from services.ingest.handlers import Intake
from services.ingest.idempotency import Idempotency
from services.ingest.receipts import TOPIC as RECEIPTS
from services.ingest.receipts import Receipts
from services.ingest.sources import SourceBook
from services.ingest.spool import Spool
from services.ingest.storage import Drain, Kafka, Storage
from services.ingest.turnstile import Turnstile
from services.ingest.watch import Watch

log = structlog.get_logger(__name__)


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Application]:
    """The service, ready to be served. Kafka and Postgres may be away, one or both: `/readyz` tells.

    Raises UnsafeSettings.
    """
    assert_c_extension()
    replica, prefix, clock = settings.replica, settings.topic_prefix, SystemClock()
    database = Database.lazy(settings.postgres_dsn, schema="ingest", application_name=f"funnel-ingest/{replica}")
    spool = Spool(database, replica=replica, topic_prefix=prefix, waive_replication=settings.waive_replication)
    kafka_watch, postgres_watch = await _watches(settings, spool)
    producer = await Producer.open(settings, client_id="funnel-ingest", repeats=True)
    kafka = Kafka(producer)
    book = SourceBook(database)
    await book.reload()
    storage, idempotency = Storage(kafka, spool), Idempotency(database)
    receipts = Receipts(storage, clock, process=new_event_id(), topic_prefix=prefix)
    intake = Intake(storage, receipts, clock, key_secret=_key_secret(settings.key_secret), topic_prefix=prefix)
    doors = Doors(Gate(book, keys_required=settings.keys_required), idempotency)
    turnstile = Turnstile(settings.turnstile_secret)

    async def degraded() -> Mapping[str, str]:
        found = {"kafka": kafka_watch.ready() or kafka.trouble(), "postgres": postgres_watch.ready()}
        if not book.loaded:
            found["keys"] = "No key is known yet, because Postgres has been away since the start."
        return {name: trouble for name, trouble in found.items() if trouble}

    async def ready() -> Mapping[str, str]:
        """Nothing is refused while one of the two servers answers."""
        return await degraded() if kafka_watch.ready() and postgres_watch.ready() else {}

    http = create_app("Funnel ingest", ready=ready, degraded=degraded)
    http.add_components(openapi.schemas(), openapi.SECURITY_SCHEMES)
    http.include_router(admin.routes(database, book, settings))
    desk = Desk(intake, doors.gate)
    api.add_endpoints(http, doors, desk)
    beacon.add_endpoints(http, doors, desk)
    forms.add_endpoints(http, doors, intake, turnstile, clock, token_key=_token_key(settings.key_secret))
    workers: list[Worker] = [kafka_watch, postgres_watch, book, Drain(kafka, spool), idempotency, receipts]
    try:
        yield Application("ingest", http, workers, settings.host, settings.ingest_port)
    finally:
        await turnstile.close()
        await receipts.close()
        await producer.close()
        await database.close()


async def _watches(settings: Settings, spool: Spool) -> tuple[Watch, Watch]:
    """What looks after Kafka and Postgres, after a first look. Raises UnsafeSettings."""

    async def kafka() -> None:
        await assert_replicated(settings, [EVENT.topic, OUTCOME.topic, RECEIPTS])

    # The spool asks again in each of its transactions, so that settings which change later end nothing.
    watches = Watch("kafka", kafka), Watch("postgres", spool.check, only_first=True)
    for watch in watches:
        await watch.look()
    return watches


def _key_secret(configured: str) -> bytes:
    """The key of the keyed hash, as long as BLAKE2b wants it.

    Without a configured secret a random one is used: record keys then still hold no personal data, but a person's
    records go to another partition after a restart. That costs locality and nothing else.
    """
    if not configured:
        log.warning("key_secret_not_set", effect="record keys change at every start")
        return secrets.token_bytes(32)
    return hashlib.sha256(configured.encode()).digest()


def _token_key(configured: str) -> bytes | None:
    """The key of the forms' render tokens; without a configured secret they are not judged."""
    return token_key(configured) if configured else None
