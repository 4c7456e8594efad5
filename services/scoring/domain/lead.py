"""A lead: what its touches add up to. Touches may come in any order; the same touches give the same lead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from funnel.contracts import Account, Cause, Consent, Contact, LeadScore, Person, Touch
from funnel.contracts import Identifier as PublishedIdentifier
from funnel.identifiers import Identifier
from services.scoring.domain.score import Score, Scorer
from services.scoring.domain.stage import Stage, advance
from services.scoring.domain.touch import (
    CONSENT_FIELDS,
    CONSENT_PREFIX,
    PERSON_FIELDS,
    Moment,
    Touched,
    earliest,
    facts,
    latest,
    origin,
)

_MERGED_PARTS = ("message", "person", "consent", "contact", "account")
_STRENGTH = {"email": 0, "phone": 1, "external": 2, "visitor": 3}


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The touch from which some fields of a lead have their values."""

    at: datetime
    event_id: str
    source: str
    fields: tuple[str, ...]


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What a lead needs to take in another touch without reading the old ones, and what is not published."""

    counts: dict[str, int]
    """How often each engagement rule has matched."""
    facts: tuple[Fact, ...]
    """Where the merged fields come from: a newer touch replaces them, an older one does not."""
    subjects: tuple[str, ...] = ()
    """Ids, besides the lead's own, under which touches of this person are kept."""


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead as last published, and the evidence behind it."""

    record: LeadScore
    evidence: Evidence

    @property
    def identifiers(self) -> tuple[Identifier, ...]:
        """What this lead has claimed."""
        return tuple(Identifier(one.kind, one.value) for one in self.record.identifiers)


@dataclass(frozen=True, slots=True)
class PublishedBefore:
    """How a lead stood on the topic when a failover took that out of the database."""

    lead_id: str
    version: int
    stage: Stage
    created_at: datetime
    qualified_at: datetime | None


class Draft:
    """A lead while a batch is applied to it. Lives inside one decision; `finish` gives the value that stays."""

    def __init__(
        self, lead_id: str, created_at: datetime, scorer: Scorer, before: PublishedBefore | None = None
    ) -> None:
        """An empty lead; with `before`, one of which readers have seen more than the tables hold."""
        self.lead_id = lead_id
        self._scorer = scorer
        self._version = 0
        self._created_at = created_at
        self._before: Stage | None = None
        self._stage = Stage.NEW
        self._qualified_at: datetime | None = None
        self._origin: str | None = None
        self._first: Touch | None = None
        self._last: Touch | None = None
        self._published: LeadScore | None = None
        if before is not None:
            self._version, self._created_at = before.version, before.created_at
            self._before = self._stage = before.stage
            self._qualified_at = before.qualified_at
        self._claimed: list[Identifier] = []
        self._learnt = False
        self._subjects: list[str] = []
        self._counts: dict[str, int] = {}
        self._fields: dict[str, Any] = {}
        self._moments: dict[str, Moment] = {}
        self._score: Score | None = None
        self._cause: tuple[Touched, int] | None = None

    @classmethod
    def of(cls, lead: Lead, scorer: Scorer, past: Iterable[Touched] | None) -> Draft:
        """A draft that begins as `lead`.

        `past` holds all its touches when its rule counts belong to other rules than the scorer's, else None.
        """
        record, evidence = lead.record, lead.evidence
        draft = cls(record.lead_id, record.created_at, scorer)
        draft._version = record.version
        draft._before = draft._stage = Stage(record.stage)
        draft._qualified_at = record.qualified_at
        draft._origin = record.origin
        draft._first, draft._last = record.first_touch, record.last_touch
        draft._published = record
        draft._subjects = list(evidence.subjects)
        draft._fields = _fields(record)
        draft._moments = {
            field: (fact.at, fact.event_id, fact.source) for fact in evidence.facts for field in fact.fields
        }
        if past is None:
            draft._counts = dict(evidence.counts)
        else:
            for touch in past:
                draft._count(touch)
        return draft

    @property
    def cause_index(self) -> int:
        """Index in the batch of the event named as the cause. Raises ValueError before any event was applied."""
        if self._cause is None:
            raise ValueError("a lead changes by an event")
        return self._cause[1]

    def claim(self, identifier: Identifier) -> None:
        """From now on `identifier` is this lead's."""
        self._claimed.append(identifier)

    def adopt(self, subject: str, touches: Iterable[Touched]) -> None:
        """Take over what a visitor did before anybody knew who it was. It never qualifies: what identified it may."""
        for touch in touches:
            self._take_in(touch)
            if subject not in self._subjects:
                self._subjects.append(subject)

    def apply(self, touch: Touched, index: int, now: datetime) -> None:
        """Take in the event at `index` of the batch, and move the stage if it is due."""
        self._take_in(touch)
        if self._stage is Stage.MARKETING_QUALIFIED and self._before is not Stage.MARKETING_QUALIFIED:
            return  # the event that qualified the lead stays the cause of this version
        self._cause = touch, index
        if self._stage is Stage.MARKETING_QUALIFIED:
            return
        self._score = score = self._scorer.score(self._fields, self._counts)
        config = self._scorer.config
        self._stage = advance(
            self._stage,
            engagement=score.engagement,
            score=score.total,
            live=touch.details.mode == "live",
            engaged_from=config.engaged_from,
            qualified_from=config.qualified_from,
        )
        if self._stage is Stage.MARKETING_QUALIFIED:
            self._qualified_at = now

    def finish(self, now: datetime) -> Lead:
        """The lead after the batch, one version on. Raises ValueError for a draft that no event was applied to."""
        if self._cause is None:
            raise ValueError("a lead changes by an event")
        score = self._score or self._scorer.score(self._fields, self._counts)
        touch = self._cause[0]
        record = LeadScore(
            lead_id=self.lead_id,
            version=self._version + 1,
            stage=self._stage.value,
            previous_stage=self._before.value if self._before else None,
            score=score.total,
            fit=score.fit,
            engagement=score.engagement,
            grade=self._scorer.grade(score.total),
            reasons=list(score.reasons),
            qualified=self._stage is Stage.MARKETING_QUALIFIED,
            qualified_at=self._qualified_at,
            mode=touch.details.mode,
            at=now,
            created_at=self._created_at,
            origin=self._origin,
            identifiers=self._identifiers(),
            first_touch=self._first,
            last_touch=self._last,
            config_version=self._scorer.config.version,
            caused_by=Cause(source=touch.source, event_id=touch.event_id),
            **self._merged(),
        )
        return Lead(record, self._evidence())

    def _take_in(self, touch: Touched) -> None:
        self._score = None
        self._count(touch)
        for field, value, moment in facts(touch):
            known = self._moments.get(field)
            if known is None or moment > known:
                self._moments[field] = moment
                if value == self._fields.get(field):
                    continue
                self._learnt = True
                self._fields[field] = value
                if field == "email":
                    self._fields["email_domain"] = value.rpartition("@")[2]
        last = latest(touch)
        if self._last is None or _moment(last) > _moment(self._last):
            self._last = last
        first = earliest(touch, last)
        if self._first is None or _moment(first) < _moment(self._first):
            self._first = first
            self._origin = origin(touch, first)

    def _count(self, touch: Touched) -> None:
        for rule in self._scorer.matches(touch.type, touch.page_url):
            self._counts[rule] = self._counts.get(rule, 0) + 1

    def _identifiers(self) -> list[PublishedIdentifier]:
        known = self._published.identifiers if self._published else []
        if not self._claimed:
            return known
        new = [PublishedIdentifier(kind=one.kind, value=one.value) for one in self._claimed]
        return sorted([*known, *new], key=lambda one: (_STRENGTH[one.kind], one.value))

    def _merged(self) -> dict[str, Any]:
        known = self._published
        if known is None or self._learnt:
            return _merged(self._fields)
        return {part: getattr(known, part) for part in _MERGED_PARTS}

    def _evidence(self) -> Evidence:
        fields_by_moment: dict[Moment, list[str]] = {}
        for field, moment in self._moments.items():
            fields_by_moment.setdefault(moment, []).append(field)
        kept = tuple(Fact(*moment, tuple(fields)) for moment, fields in sorted(fields_by_moment.items()))
        return Evidence(counts=self._counts, facts=kept, subjects=tuple(self._subjects))


def _moment(touch: Touch) -> Moment:
    return touch.occurred_at, touch.event_id or "", touch.source or ""


def _fields(record: LeadScore) -> dict[str, Any]:
    """The merged fields of a published lead, by the names that `facts` uses."""
    fields: dict[str, Any] = {}
    if record.contact is not None:
        if record.contact.email is not None:
            fields["email"] = record.contact.email
            fields["email_domain"] = record.contact.email.rpartition("@")[2]
        if record.contact.phone is not None:
            fields["phone"] = record.contact.phone
    if record.person is not None:
        for field in PERSON_FIELDS:
            if (value := getattr(record.person, field)) is not None:
                fields[field] = value
    if record.consent is not None:
        for field in CONSENT_FIELDS:
            if (value := getattr(record.consent, field)) is not None:
                fields[CONSENT_PREFIX + field] = value
    return fields


def _merged(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of the published lead that are merged from its touches."""
    person = {field: fields[field] for field in PERSON_FIELDS if field in fields}
    consent = {field: fields[key] for field in CONSENT_FIELDS if (key := CONSENT_PREFIX + field) in fields}
    contact = {
        "email": fields.get("email"),
        "phone": fields.get("phone"),
        "name": full_name(fields),
        "company": fields.get("company"),
    }
    number = fields.get("corporate_number")
    return {
        "message": fields.get("message"),
        "person": Person(**person) if person else None,
        "consent": Consent(**consent) if consent else None,
        "contact": Contact(**contact) if any(contact.values()) else None,
        "account": Account(id=number, name=fields.get("company")) if number else None,
    }


def full_name(fields: Mapping[str, Any]) -> str | None:
    """The name as written, else made of its parts: family name first unless both are in Latin letters."""
    if name := fields.get("name"):
        return str(name)
    first, last = fields.get("first_name", ""), fields.get("last_name", "")
    parts = (first, last) if (first + last).isascii() else (last, first)
    return " ".join(filter(None, parts)) or None
