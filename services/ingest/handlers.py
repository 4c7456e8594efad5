"""Taking items in: judge them, publish the good ones, and answer only when Kafka has."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from funnel import telemetry
from funnel.clock import Clock
from funnel.ids import new_event_id
from funnel.kafka.producer import Acknowledged, ProducerRecord, PublishError
from services.ingest.domain import limits
from services.ingest.domain.acceptance import Acceptance, Accepted
from services.ingest.domain.batch import Result, Status, Stored, Verdict, results, without_repeats
from services.ingest.domain.fields import Unfit
from services.ingest.domain.kinds import EVENT, Kind
from services.ingest.domain.receipt import Mode, Receipt
from services.ingest.receipts import Publisher, Receipts

KNOWN_TYPES = frozenset(
    {
        *("page.viewed", "ad.clicked", "form.submitted", "document.requested", "demo.requested"),
        *("email.opened", "email.clicked", "webinar.attended", "trial.started", "account.surging"),
    }
)
"""Types the rules know; every other one is counted as `other`, so that clients cannot add time series."""


class Intake:
    """Takes in events and outcomes. Needs nothing but Kafka."""

    def __init__(
        self,
        publisher: Publisher,
        receipts: Receipts,
        clock: Clock,
        *,
        key_secret: bytes,
        topic_prefix: str,
        publish_seconds_max: float = limits.PUBLISH_SECONDS_MAX,
    ) -> None:
        """`key_secret` is the key of the keyed hash that makes record keys, 1 to 64 bytes."""
        self._publish_seconds_max = publish_seconds_max
        self._publisher = publisher
        self._receipts = receipts
        self._clock = clock
        self._key_secret = key_secret
        self._topic_prefix = topic_prefix

    async def take(
        self,
        kind: Kind,
        items: Sequence[bytes | Unfit],
        *,
        source: str,
        mode: Mode,
        traceparent: bytes | None = None,
    ) -> list[Result]:
        """One result per item, in order. Returns only when the fate of every item is settled; never raises for one."""
        receipt = Receipt(source, mode, self._clock.now())
        acceptance = Acceptance(kind, receipt, self._key_secret, traceparent)
        verdicts = without_repeats([acceptance.judge(item, new_event_id()) for item in items])
        stored = await self._store(kind, verdicts)
        answers = results(verdicts, stored)
        _count(kind, verdicts, answers)
        self._receipts.add(kind, sum(answer.status is Status.ACCEPTED for answer in answers))
        return answers

    async def _store(self, kind: Kind, verdicts: Sequence[Verdict]) -> dict[int, Stored]:
        topic = self._topic_prefix + kind.topic
        indexes, records = [], []
        for index, verdict in enumerate(verdicts):
            if isinstance(verdict, Accepted):
                indexes.append(index)
                records.append(ProducerRecord(topic, verdict.key, verdict.value, verdict.headers))
        try:
            async with asyncio.timeout(self._publish_seconds_max):
                published = await self._publisher.publish(records)
        except TimeoutError:
            return dict.fromkeys(indexes, Stored.UNKNOWN)
        return dict(zip(indexes, map(_stored, published), strict=True))


def _stored(result: Acknowledged | PublishError) -> Stored:
    if isinstance(result, Acknowledged):
        return Stored.YES
    return Stored.TOO_LARGE if result.too_large else Stored.UNKNOWN


def _count(kind: Kind, verdicts: Sequence[Verdict], answers: Sequence[Result]) -> None:
    for status, number in Counter(answer.status for answer in answers).items():
        telemetry.INGEST_ITEMS.labels(kind.name, status).inc(number)
    if kind is not EVENT:
        return
    types = Counter(
        verdict.type if verdict.type in KNOWN_TYPES else "other"
        for verdict, answer in zip(verdicts, answers, strict=True)
        if isinstance(verdict, Accepted) and answer.status is Status.ACCEPTED
    )
    for type_, number in types.items():
        telemetry.INGEST_EVENT_TYPES.labels(type_).inc(number)
