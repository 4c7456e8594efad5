"""What the tests of ingest are given: a time, a judge, a stand-in for the producer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from funnel.kafka.producer import Acknowledged, ProducerRecord, PublishError
from services.ingest.domain.acceptance import Acceptance, Accepted, Refused
from services.ingest.domain.kinds import EVENT, Kind
from services.ingest.domain.receipt import Mode, Receipt

NOW = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)
SECRET = b"a secret of the tests"
FRESH_ID = "0193-fresh"
LEAD_ID = "2b6a7f0e-1f59-5c0d-8a44-3a8f5b1c9d10"


class FixedClock:
    """Always NOW."""

    def now(self) -> datetime:
        return NOW


class MemoryPublisher:
    """Acknowledges at once what a test lets it; `results` overrides that per record, by ce_id."""

    def __init__(self) -> None:
        self.records: list[ProducerRecord] = []
        self.results: dict[str, PublishError] = {}
        self.hang = False

    async def publish(self, records: Sequence[ProducerRecord]) -> list[Acknowledged | PublishError]:
        if self.hang:
            await asyncio.Event().wait()
        answers: list[Acknowledged | PublishError] = []
        for record in records:
            failure = self.results.get(dict(record.headers)["ce_id"].decode())
            if failure is None:
                self.records.append(record)
            answers.append(failure or Acknowledged(0, len(self.records) - 1))
        return answers


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
