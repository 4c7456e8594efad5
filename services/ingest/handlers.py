"""Taking items in: judge them, store the good ones, and answer only when they are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Protocol

from funnel import telemetry
from funnel.clock import Clock
from funnel.ids import derived_event_id, new_event_id
from funnel.kafka.producer import ProducerRecord
from services.ingest.domain import limits
from services.ingest.domain.acceptance import Acceptance, Accepted
from services.ingest.domain.access import Caller
from services.ingest.domain.batch import Result, Status, Stored, Verdict, results, without_repeats
from services.ingest.domain.fields import Unfit
from services.ingest.domain.kinds import EVENT, Kind
from services.ingest.domain.receipt import Receipt
from services.ingest.receipts import Receipts

KNOWN_TYPES = frozenset(
    {
        *("page.viewed", "ad.clicked", "form.submitted", "document.requested", "demo.requested"),
        *("email.opened", "email.clicked", "webinar.attended", "trial.started", "account.surging"),
    }
)
"""Types the rules know; every other one is counted as `other`, so that clients cannot add time series."""

IdOf = Callable[[int], str]
"""The id of the item at an index of its request, for items that bring none."""


def fresh_id(_: int) -> str:
    """An id that nobody used before."""
    return new_event_id()


def ids_of(source: str, path: str, idempotency_key: str | None) -> IdOf:
    """Ids for the items of a request: the same for the same request sent again under its Idempotency-Key.

    So a repeat has no second effect, even when it cannot be recognised before it is stored.
    """
    if idempotency_key is None:
        return fresh_id
    return lambda index: derived_event_id(source, path, idempotency_key, index)


class Store(Protocol):
    """The part of `services.ingest.storage.Storage` used here."""

    async def store(self, records: Sequence[ProducerRecord]) -> Sequence[Stored]:
        """What became of each record, in order."""


class Intake:
    """Takes in events and outcomes."""

    def __init__(self, storage: Store, receipts: Receipts, clock: Clock, *, key_secret: bytes, topic_prefix: str):
        """`key_secret` is the key of the keyed hash that makes record keys, 1 to 64 bytes."""
        self._storage = storage
        self._receipts = receipts
        self._clock = clock
        self._key_secret = key_secret
        self._topic_prefix = topic_prefix

    async def take(
        self,
        kind: Kind,
        items: Sequence[bytes | Unfit],
        caller: Caller,
        *,
        id_of: IdOf = fresh_id,
        sent_at: datetime | None = None,
        suspect: Sequence[str] = (),
        traceparent: bytes | None = None,
        bytes_max: int = limits.EVENT_BYTES_MAX,
    ) -> list[Result]:
        """One result per item, in order. Returns only when the fate of every item is settled; never raises for one.

        `sent_at` is the sender's clock when it sent the request. `suspect` says why the items may be spam: they are
        stored like all others and put aside by whoever reads them. `bytes_max` is the size of the largest item.
        """
        receipt = Receipt(caller.source.name, caller.mode, self._clock.now(), sent_at)
        acceptance = Acceptance(kind, receipt, self._key_secret, traceparent, suspect, bytes_max)
        verdicts = without_repeats(acceptance.judge_all(items, id_of))
        stored = await self._store(kind, verdicts)
        answers = results(verdicts, stored)
        self._receipts.add(kind, _count(kind, verdicts, answers))
        return answers

    async def _store(self, kind: Kind, verdicts: Sequence[Verdict]) -> dict[int, Stored]:
        topic = self._topic_prefix + kind.topic
        indexes, records = [], []
        for index, verdict in enumerate(verdicts):
            if isinstance(verdict, Accepted):
                indexes.append(index)
                records.append(ProducerRecord(topic, verdict.key, verdict.value, verdict.headers))
        if not records:
            return {}
        return dict(zip(indexes, await self._storage.store(records), strict=True))


def _count(kind: Kind, verdicts: Sequence[Verdict], answers: Sequence[Result]) -> int:
    """Count what was answered; returns how many were accepted."""
    types: list[str] = []
    for verdict, answer in zip(verdicts, answers, strict=True):
        if answer.status is Status.ACCEPTED and isinstance(verdict, Accepted):
            types.append(verdict.type if verdict.type in KNOWN_TYPES else "other")
        else:
            _items(kind.name, answer.status)(1)
    if types:
        _items(kind.name, Status.ACCEPTED)(len(types))
    if kind is EVENT:
        for type_, number in Counter(types).items():
            _events(type_)(number)
    return len(types)


# A series is looked up once; then counting costs next to nothing.
@cache
def _items(kind: str, status: Status) -> Callable[[float], None]:
    return telemetry.INGEST_ITEMS.labels(kind, status).inc


@cache
def _events(type_: str) -> Callable[[float], None]:
    return telemetry.INGEST_EVENT_TYPES.labels(type_).inc
