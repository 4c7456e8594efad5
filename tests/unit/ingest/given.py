"""What the tests of ingest are given: a time, a judge, a stand-in for the storage."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from funnel.kafka.producer import ProducerRecord
from services.ingest.domain.acceptance import Acceptance, Accepted, Refused
from services.ingest.domain.access import Book, HeldKey
from services.ingest.domain.batch import Stored
from services.ingest.domain.kinds import EVENT, Kind
from services.ingest.domain.receipt import Mode, Receipt
from services.ingest.domain.source import Source
from services.ingest.endpoint import Doors
from services.ingest.gate import Gate
from services.ingest.wire import Answer

NOW = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)
SECRET = b"a secret of the tests"
FRESH_ID = "0193-fresh"
LEAD_ID = "2b6a7f0e-1f59-5c0d-8a44-3a8f5b1c9d10"


class FixedClock:
    """Always NOW."""

    def now(self) -> datetime:
        return NOW


class MemoryStore:
    """Stores at once what a test lets it; `results` overrides that per record, by ce_id."""

    def __init__(self) -> None:
        self.records: list[ProducerRecord] = []
        self.results: dict[str, Stored] = {}

    async def store(self, records: Sequence[ProducerRecord]) -> list[Stored]:
        answers = [self.results.get(dict(record.headers)["ce_id"].decode(), Stored.LOG) for record in records]
        kept = (Stored.LOG, Stored.SPOOL)
        self.records += [record for record, answer in zip(records, answers, strict=True) if answer in kept]
        return answers


@dataclass
class GivenBooks:
    """The sources and keys of a test."""

    book: Book
    loaded: bool = True


class NothingRemembered:
    """Stands where answers are remembered, for tests that send no Idempotency-Key."""

    async def once(self, *, work: Callable[[], Awaitable[Answer]], **_: object) -> Answer:
        return await work()


def doors(*sources: Source, keys: Iterable[HeldKey] = (), keys_required: bool = False) -> Doors:
    """What lets requests in to whom these `sources` and `keys` are known."""
    gate = Gate(GivenBooks(Book.of(sources, keys)), keys_required=keys_required)
    return Doors(gate, NothingRemembered())


def judge(
    sent: Any, kind: Kind = EVENT, *, source: str = "default", mode: Mode = "live", now: datetime = NOW
) -> Accepted | Refused:
    """The verdict on `sent`, a JSON value or the bytes of one."""
    raw = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return Acceptance(kind, Receipt(source, mode, now), SECRET).judge(raw, FRESH_ID)


def accepted(sent: Any, kind: Kind = EVENT, **how: Any) -> Accepted:
    verdict = judge(sent, kind, **how)
    assert isinstance(verdict, Accepted), verdict
    return verdict


def stored(sent: Any, kind: Kind = EVENT, **how: Any) -> dict[str, Any]:
    """The value that is stored for `sent`, decoded."""
    value: dict[str, Any] = json.loads(accepted(sent, kind, **how).value)
    return value


def faults(sent: Any, kind: Kind = EVENT) -> dict[str, str]:
    """Pointer -> what is wrong there."""
    verdict = judge(sent, kind)
    assert isinstance(verdict, Refused), verdict
    return {fault.pointer: fault.detail for fault in verdict.faults}


def an_event(**fields: Any) -> dict[str, Any]:
    """The least that is accepted, with `fields` on top."""
    return {"type": "form.submitted", "identity": {"email": "jane@example.com"}, **fields}


def an_outcome(**fields: Any) -> dict[str, Any]:
    """The least that is accepted, with `fields` on top."""
    return {"type": "contacted", "lead_id": LEAD_ID, **fields}
