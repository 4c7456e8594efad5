"""Events for scoring, and scoring itself with its tables in memory instead of Postgres."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from funnel.contracts import (
    ConsentStatement,
    Context,
    Identity,
    LeadEvent,
    LeadScore,
    Mode,
    Person,
    RememberedTouch,
    Utm,
)
from funnel.identifiers import Identifier
from services.scoring.domain.adoption import Adopted
from services.scoring.domain.decide import Outcome, State, decide, read
from services.scoring.domain.lead import Lead, PublishedBefore
from services.scoring.domain.score import Scorer
from services.scoring.domain.touch import Touched
from services.scoring.settings import load_config

DAY = datetime(2026, 11, 22, 9, tzinfo=UTC)
_numbers = count(1)


def default_scorer() -> Scorer:
    """The rules that ship with the product."""
    return Scorer(load_config(Path("/nowhere")))


def at_minute(minute: int) -> datetime:
    """`minute` minutes into the tests' day."""
    return DAY + timedelta(minutes=minute)


def event(
    type_: str = "page.viewed",
    *,
    email: str | None = None,
    phone: str | None = None,
    visitor: str | None = None,
    external: Mapping[str, str] | None = None,
    minute: int = 0,
    event_id: str | None = None,
    source: str = "test",
    mode: Mode = "live",
    page: str | None = None,
    utm_source: str | None = None,
    first_touch: RememberedTouch | None = None,
    last_touch: RememberedTouch | None = None,
    person: Person | None = None,
    consent: ConsentStatement | None = None,
    properties: dict[str, Any] | None = None,
) -> LeadEvent:
    """An event that happened `minute` minutes into the tests' day."""
    at = at_minute(minute)
    utm = Utm(source=utm_source) if utm_source else None
    context = Context(page_url=page, utm=utm, first_touch=first_touch, last_touch=last_touch)
    return LeadEvent(
        event_id=event_id or f"e{next(_numbers)}",
        type=type_,
        occurred_at=at,
        received_at=at,
        source=source,
        mode=mode,
        identity=Identity(
            email=email, phone=phone, visitor_id=visitor, external_ids=dict(external) if external else None
        ),
        person=person,
        context=context if context != Context() else None,
        properties=properties,
        consent=consent,
    )


class Memory:
    """Scoring's tables as dictionaries; a batch reads and writes what the handler would."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.bindings: dict[Identifier, str | None] = {}
        self.leads: dict[str, Lead] = {}
        self.touches: dict[str, list[Touched]] = {}
        self.published: list[LeadScore] = []
        self.before: dict[str, PublishedBefore] = {}
        self.promises: dict[Identifier, str] = {}

    def adopt(self, adopted: Adopted) -> None:
        """What `funnel reconcile` does."""
        self.leads |= {lead.record.lead_id: lead for lead in adopted.lifted}
        self.before |= {one.lead_id: one for one in adopted.before}
        self.promises |= adopted.promised

    def apply(self, events: Sequence[LeadEvent], now: datetime = DAY) -> Outcome:
        """One batch."""
        readings = [read(one.source, one.event_id, one, None) for one in events]
        seen = {identifier for reading in readings for identifier in reading.sighting.identifiers}
        bindings = {identifier: self.bindings.get(identifier) for identifier in seen}
        promised = {
            one: self.before[self.promises[one]]
            for one, lead_id in bindings.items()
            if lead_id is None and one in self.promises
        }
        known = [*bindings.values(), *(one.lead_id for one in promised.values())]
        leads = {lead_id: self.leads[lead_id] for lead_id in known if lead_id in self.leads}
        outcome = decide(self.scorer, State(bindings, leads, dict(self.touches), promised), readings, now)
        self.bindings |= bindings | dict(outcome.claimed)
        for change in outcome.changes:
            self.leads[change.lead.record.lead_id] = change.lead
            self.published.append(change.lead.record)
        for subject, touch in outcome.touches:
            self.touches.setdefault(subject, []).append(touch)
        return outcome

    def apply_each(self, events: Iterable[LeadEvent]) -> None:
        """A batch per event."""
        for one in events:
            self.apply([one])

    def touches_of(self, lead_id: str) -> list[Touched]:
        """Everything that counts for a lead."""
        subjects = (lead_id, *self.leads[lead_id].evidence.subjects)
        return [touch for subject in subjects for touch in self.touches.get(subject, [])]

    def only_lead(self) -> LeadScore:
        """The record of the one lead there is."""
        (lead,) = self.leads.values()
        return lead.record
