"""A small funnel written straight to the topics, with what it must add up to counted beside it."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from funnel.contracts import IngestReceipt, LeadAssignment, LeadDecision, LeadEvent, LeadOutcome, LeadScore
from funnel.envelope import outgoing
from funnel.ids import lead_id
from funnel.settings import Settings
from tests.support.kafka import Record, produce, read_all
from tests.unit.metrics.records import assignment, decision, event, outcome, score

START = datetime(2026, 3, 30, 20, tzinfo=UTC)  # in Tokyo already the 31st: the play crosses a day and a month
ORIGINS = ("google", "fair", "web")


@dataclass
class Expected:
    """The hand count."""

    kpis: Counter[str] = field(default_factory=Counter)
    by_month: Counter[tuple[str, str]] = field(default_factory=Counter)  # ("2026-03", kpi)
    by_origin: Counter[tuple[str, str]] = field(default_factory=Counter)
    revenue: Decimal = Decimal(0)
    states: Counter[str] = field(default_factory=Counter)
    assignment_records: int = 0

    def count(self, kpi: str, at: datetime, origin: str, zone: ZoneInfo) -> None:
        self.kpis[kpi] += 1
        self.by_month[f"{at.astimezone(zone):%Y-%m}", kpi] += 1
        self.by_origin[origin, kpi] += 1


@dataclass
class Play:
    """Records per topic, in the order to write them, and what they must add up to. Repeats are among the records."""

    zone: ZoneInfo
    seed: int = 1
    records: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    expected: Expected = field(default_factory=Expected)
    repeats: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._clock = START

    def leads(self, count: int) -> Play:
        """Add that many leads, each with a journey of its own."""
        for number in range(count):
            self._lead(number)
        return self

    def _at(self) -> datetime:
        self._clock += timedelta(minutes=self._random.randint(1, 30))
        return self._clock

    def _lead(self, number: int) -> None:
        name, origin = f"{self.seed}-{number}", self._random.choice(ORIGINS)
        first = self._at()
        for visit in range(self._random.randint(1, 3)):
            self._event(f"{name}-visit-{visit}", "page.viewed", first, origin)
            self.expected.count("visits", first, origin, self.zone)
        self._event(f"{name}-document", "document.requested", first, origin)
        self.expected.count("document_requests", first, origin, self.zone)
        lead = lead_id("web", f"{name}-document")
        self.expected.count("leads", first, origin, self.zone)
        self._write("lead-scores", score(1, lead_id=lead, origin=origin, created_at=first))
        ending = self._random.choice([self._nurtured, self._held, self._assigned, self._won, self._lost, self._moved])
        ending(lead, origin)

    def _nurtured(self, lead: str, origin: str) -> None:
        self.expected.states["nurturing"] += 1

    def _held(self, lead: str, origin: str) -> None:
        self._qualify(lead, origin)
        self._write("lead-decisions", decision(1, "held", lead_id=lead, state="held", reason="no_capacity"))
        self.expected.states["held"] += 1

    def _assigned(self, lead: str, origin: str) -> None:
        self._qualify(lead, origin)
        self._assign(lead, version=1)
        self._outcome(lead, 2, "accepted", origin)
        self._outcome(lead, 3, "appointment.set", origin)
        self.expected.states["assigned"] += 1

    def _moved(self, lead: str, origin: str) -> None:
        self._qualify(lead, origin)
        self._assign(lead, version=1)
        self._write("lead-assignments", assignment(2, "revoked", lead_id=lead, outcome=outcome("rejected")))
        self._outcome(lead, 3, "rejected", origin)
        self._assign(lead, version=4, epoch=2)
        self.expected.assignment_records += 1
        self.expected.states["assigned"] += 1

    def _won(self, lead: str, origin: str) -> None:
        self._qualify(lead, origin)
        self._assign(lead, version=1)
        self._outcome(lead, 2, "opportunity.opened", origin)
        amount = self._random.randint(1, 9) * 100_000
        self._outcome(lead, 3, "won", origin, yen=str(amount), deal_id="d-1")
        self._end(lead, 4, "won")
        self.expected.revenue += amount
        if self._random.random() < 0.3:
            self._outcome(lead, 5, "won.cancelled", origin, state="closed", deal_id="d-1")
            self.expected.revenue -= amount

    def _lost(self, lead: str, origin: str) -> None:
        self._qualify(lead, origin)
        self._assign(lead, version=1)
        self._outcome(lead, 2, "lost", origin)
        self._end(lead, 3, "lost")

    def _end(self, lead: str, version: int, type_: str) -> None:
        self._write("lead-assignments", assignment(version, "closed", lead_id=lead, outcome=outcome(type_)))
        self.expected.assignment_records += 1
        self.expected.states["closed"] += 1

    def _qualify(self, lead: str, origin: str) -> None:
        self._write("lead-scores", score(2, lead_id=lead, origin=origin, qualified=True))

    def _assign(self, lead: str, *, version: int, epoch: int = 1) -> None:
        self._write("lead-assignments", assignment(version, "assigned", lead_id=lead, epoch=epoch))
        self.expected.assignment_records += 1

    def _outcome(
        self, lead: str, version: int, type_: str, origin: str, state: str | None = None, **fields: Any
    ) -> None:
        at = self._at()
        state = state or ("closed" if type_ in ("won", "lost") else "assigned")
        told = outcome(type_, at=at, **fields)
        self._write("lead-decisions", decision(version, lead_id=lead, state=state, outcome=told))
        kpi = {
            "appointment.set": "appointments",
            "opportunity.opened": "opportunities",
            "won": "orders_won",
            "won.cancelled": "orders_cancelled",
            "lost": "lost",
        }.get(type_)
        if kpi:
            self.expected.count(kpi, at, origin, self.zone)

    def _event(self, event_id: str, type_: str, at: datetime, origin: str) -> None:
        self._write("lead-events", event(type_, at=at, event_id=event_id, utm_source=origin))

    def _write(self, topic: str, value: LeadEvent | LeadScore | LeadAssignment | LeadDecision) -> None:
        """Add a record, and now and then a second time, as a client or a frozen relay would repeat it."""
        record = record_of(topic, value)
        self.records[topic].append(record)
        if self._random.random() < 0.2:
            self.records[topic].append(record)
            self.repeats[topic] += 1

    def publish(self, settings: Settings, topics: Iterable[str] | None = None) -> None:
        """Write the records; topic after topic, so that whoever reads is ahead in some and behind in others."""
        for topic in topics or self.records:
            produce(settings.kafka_bootstrap, settings.topic_prefix + topic, self.records[topic])


_IDENTITY: dict[type, Callable[[Any], tuple[str, str, str, str, str]]] = {
    LeadEvent: lambda v: (v.source, v.event_id, v.type, "lead_event.v1", v.event_id.rpartition("-visit")[0]),
    LeadScore: lambda v: ("scoring", f"{v.lead_id}:{v.version}", "lead.scored", "lead_score.v1", v.lead_id),
    LeadAssignment: lambda v: (
        "routing",
        f"{v.assignment_id}:{v.status}",
        f"lead.{v.status}",
        "lead_assignment.v1",
        v.lead_id,
    ),
    LeadDecision: lambda v: ("routing", v.decision_id, f"lead.{v.kind}", "lead_decision.v1", v.lead_id),
    LeadOutcome: lambda v: (v.source, v.event_id, f"outcome.{v.type}", "lead_outcome.v1", v.lead_id),
    IngestReceipt: lambda v: ("ingest", f"{v.process}:{v.number}", "ingest.receipt", "ingest_receipt.v1", v.process),
}


def record_of(topic: str, value: Any) -> Record:
    """`value` as its service would publish it."""
    source, identity, type_, dataschema, key = _IDENTITY[type(value)](value)
    enveloped = outgoing(
        topic,
        value,
        key=key,
        ce_id=identity,
        ce_type=type_,
        ce_source=source,
        at=START,
        subject=key,
        dataschema=dataschema,
    )
    return Record(enveloped.value, key.encode(), dict(enveloped.headers()))


def recounted(settings: Settings) -> Counter[str]:
    """The KPIs counted from the topics by a reader that shares no code with the service."""
    counts: Counter[str] = Counter()
    for record in _first_occurrences(settings, "lead-events"):
        kpi = {"page.viewed": "visits", "document.requested": "document_requests"}.get(record["type"])
        counts[kpi or "other"] += 1
    counts["leads"] = len({record["lead_id"] for record in _first_occurrences(settings, "lead-scores")})
    names = {
        "appointment.set": "appointments",
        "opportunity.opened": "opportunities",
        "won": "orders_won",
        "won.cancelled": "orders_cancelled",
        "lost": "lost",
    }
    for record in _first_occurrences(settings, "lead-decisions"):
        if record["kind"] == "outcome.applied" and record["outcome"]["type"] in names:
            counts[names[record["outcome"]["type"]]] += 1
    return counts


def _first_occurrences(settings: Settings, topic: str) -> Sequence[dict[str, Any]]:
    seen: dict[tuple[bytes, bytes], dict[str, Any]] = {}
    for record in read_all(settings.kafka_bootstrap, settings.topic_prefix + topic):
        identity = (record.headers["ce_source"], record.headers["ce_id"])
        seen.setdefault(identity, json.loads(record.value or b""))
    return list(seen.values())
