"""The second witness: how many records this process called stored, told to the log minute by minute.

The ledger counts what is on the topics. Whether that is all of it, only those can say who gave the 202s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import structlog

from funnel.clock import Clock
from funnel.contracts import IngestReceipt
from funnel.envelope import outgoing
from funnel.kafka.producer import Acknowledged, ProducerRecord, PublishError
from funnel.waiting import first_of
from services.ingest.domain.kinds import EVENT, Kind

TOPIC: Final = "ingest-receipts"
PERIOD_SECONDS: Final = 60.0

log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """The part of `funnel.kafka.producer.Producer` used here."""

    async def publish(self, records: Sequence[ProducerRecord]) -> Sequence[Acknowledged | PublishError]:
        """One result per record, in order, once every one is acknowledged by all in-sync replicas or has failed."""


class Receipts:
    """Counts, and publishes a receipt for each span of time in which anything was stored.

    A receipt that may not have arrived goes out again with the same id and bytes, so that readers take it once. What
    a killed process had counted since its last receipt is missing: the witness then knows less, never too much.
    """

    name = "receipts"

    def __init__(self, publisher: Publisher, clock: Clock, *, process: str, topic_prefix: str) -> None:
        """`process` is an id that no other process has, nor this one after a restart."""
        self._publisher = publisher
        self._clock = clock
        self._process = process
        self._topic = topic_prefix + TOPIC
        self._since = clock.now()
        self._number = 0
        self._events = 0
        self._outcomes = 0
        self._unsent: list[ProducerRecord] = []

    def add(self, kind: Kind, records: int) -> None:
        """`records` of this kind were acknowledged, and their senders are about to be told so."""
        if kind is EVENT:
            self._events += records
        else:
            self._outcomes += records

    async def run(self, stop: asyncio.Event) -> None:
        """Publish every PERIOD_SECONDS until `stop` is set; the rest is left to `close`."""
        while not stop.is_set():
            await first_of(PERIOD_SECONDS, stop)
            if not stop.is_set():
                await self.publish()

    async def close(self) -> None:
        """Publish what was counted since; called when nothing more can be counted."""
        await self.publish()
        if self._unsent:
            log.warning("receipts_lost", receipts=len(self._unsent))

    async def publish(self) -> None:
        """Close the span and publish its receipt, and those of earlier spans that may not have arrived."""
        self._cut(self._clock.now())
        sending = self._unsent
        results = await self._publisher.publish(sending)
        unsent = [
            record for record, result in zip(sending, results, strict=True) if not isinstance(result, Acknowledged)
        ]
        self._unsent = unsent

    def _cut(self, now: datetime) -> None:
        if self._events or self._outcomes:
            self._number += 1
            receipt = IngestReceipt(
                process=self._process,
                number=self._number,
                since=self._since,
                until=now,
                events=self._events,
                outcomes=self._outcomes,
            )
            self._unsent.append(self._record(receipt))
        self._since, self._events, self._outcomes = now, 0, 0

    def _record(self, receipt: IngestReceipt) -> ProducerRecord:
        made = outgoing(
            TOPIC,
            receipt,
            key=self._process,
            ce_id=f"{self._process}:{receipt.number}",
            ce_type="ingest.receipt",
            ce_source="ingest",
            at=receipt.until,
            subject=self._process,
            dataschema="ingest_receipt.v1",
        )
        return ProducerRecord(self._topic, made.key.encode(), made.value, made.headers())
