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
from funnel.runtime import Application
from funnel.settings import Settings
from services.ingest.api import add_endpoints
from services.ingest.domain.kinds import EVENT, OUTCOME
from services.ingest.handlers import Intake
from services.ingest.kafka_watch import KafkaWatch
from services.ingest.receipts import TOPIC as RECEIPTS
from services.ingest.receipts import Receipts

log = structlog.get_logger(__name__)


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Application]:
    """The service, ready to be served. Kafka may be away: `/readyz` tells, and posts get 503 until it is back.

    Raises UnsafeSettings. Needs no Postgres.
    """
    assert_c_extension()
    watch = KafkaWatch(lambda: assert_replicated(settings, [EVENT.topic, OUTCOME.topic, RECEIPTS]))
    await watch.look()
    producer = await Producer.open(settings, client_id="funnel-ingest")

    async def ready() -> Mapping[str, str]:
        trouble = watch.ready()
        return {"kafka": trouble} if trouble else {}

    http = create_app("Funnel ingest", ready=ready)
    clock, prefix = SystemClock(), settings.topic_prefix
    receipts = Receipts(producer, clock, process=new_event_id(), topic_prefix=prefix)
    key_secret = _key_secret(settings.key_secret)
    add_endpoints(http, Intake(producer, receipts, clock, key_secret=key_secret, topic_prefix=prefix))
    try:
        yield Application("ingest", http, [watch, receipts], settings.host, settings.ingest_port)
    finally:
        await receipts.close()
        await producer.close()


def _key_secret(configured: str) -> bytes:
    """The key of the keyed hash, as long as BLAKE2b wants it.

    Without a configured secret a random one is used: record keys then still hold no personal data, but a person's
    records go to another partition after a restart. That costs locality and nothing else.
    """
    if not configured:
        log.warning("key_secret_not_set", effect="record keys change at every start")
        return secrets.token_bytes(32)
    return hashlib.sha256(configured.encode()).digest()
