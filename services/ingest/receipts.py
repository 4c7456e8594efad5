"""The second witness: how many records this process called stored, told minute by minute.

The ledger counts what is on the topics and in the spool. Whether that is all of it, only those can say who gave the
202s.
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
from funnel.failpoints import reach
from funnel.kafka.producer import ProducerRecord
from funnel.waiting import first_of
from services.ingest.domain.batch import Stored
from services.ingest.domain.kinds import EVENT, Kind

TOPIC: Final = "ingest-receipts"
PERIOD_SECONDS: Final = 60.0

log = structlog.get_logger(__name__)


class Store(Protocol):
    """The part of `services.ingest.storage.Storage` used here."""

    async def store(self, records: Sequence[ProducerRecord]) -> Sequence[Stored]:
        """What became of each record, in order."""


class Receipts:
    """Counts, and stores a receipt for each span of time in which anything was stored, in the log or in the spool.

    A receipt that may not have been stored goes out again with the same id and bytes, so that readers take it once.
    What a killed process had counted since its last receipt is missing: the witness then knows less, never too much.
    """

    name = "receipts"

    def __init__(self, storage: Store, clock: Clock, *, process: str, topic_prefix: str) -> None:
        """`process` is an id that no other process has, nor this one after a restart."""
        self._storage = storage
        self._clock = clock
        self._process = process
        self._topic = topic_prefix + TOPIC
        self._since = clock.now()
        self._number = 0
        self._events = 0
        self._outcomes = 0
        self._unsent: list[ProducerRecord] = []

    def add(self, kind: Kind, records: int) -> None:
        """`records` of this kind are stored, and their senders are about to be told so."""
        if kind is EVENT:
            self._events += records
        else:
            self._outcomes += records

    async def run(self, stop: asyncio.Event) -> None:
        """Tell every PERIOD_SECONDS until `stop` is set; the rest is left to `close`."""
        while not stop.is_set():
            await first_of(PERIOD_SECONDS, stop)
            if not stop.is_set():
                await self.tell()

    async def close(self) -> None:
        """Tell what was counted since; called when nothing more can be counted."""
        await self.tell()
        if self._unsent:
            log.warning("receipts_lost", receipts=len(self._unsent))

    async def tell(self) -> None:
        """Close the span and store its receipt, and those of earlier spans that may not have been stored."""
        self._cut(self._clock.now())
        if sending := self._unsent:
            reach("receipts.tell.before")
            stored = await self._storage.store(sending)
            reach("receipts.tell.after")
            self._unsent = [record for record, one in zip(sending, stored, strict=True) if one is Stored.UNKNOWN]

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
