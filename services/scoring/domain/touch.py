"""A touch: one event about a person, reduced to what scoring reads and keeps for good."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from funnel import identifiers as normalised
from funnel.contracts import Consent, Context, Identity, LeadEvent, Mode, Person, Touch

PERSON_FIELDS = Person.__struct_fields__
CONSENT_FIELDS = Consent.__struct_fields__
CONSENT_PREFIX = "consent."

Moment = tuple[datetime, str, str]
"""(occurred_at, event_id, source): the order of the touches of a lead, whatever order they arrive in."""


class Details(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """The parts of an event that have no column of their own, as the client sent them (identity not normalised)."""

    identity: Identity
    mode: Mode = "live"
    person: Person | None = None
    context: Context | None = None
    properties: dict[str, Any] | None = None
    consent: Consent | None = None


class Touched(NamedTuple):
    """A touch. (`source`, `event_id`) is its identity; `occurred_at` is in UTC."""

    source: str
    event_id: str
    type: str
    occurred_at: datetime
    details: Details

    @property
    def moment(self) -> Moment:
        """Its place among the touches of a lead."""
        return self.occurred_at, self.event_id, self.source

    @property
    def page_url(self) -> str | None:
        """The page it happened on."""
        context = self.details.context
        return context.page_url if context is not None else None


def touched(source: str, event_id: str, event: LeadEvent) -> Touched:
    """The touch that `event` is. Times of a decoded event are in UTC."""
    details = Details(
        identity=event.identity,
        mode=event.mode,
        person=event.person,
        context=event.context,
        properties=event.properties or None,
        consent=event.consent,
    )
    return Touched(source, event_id, event.type, event.occurred_at, details)


def identifiers(identity: Identity) -> tuple[normalised.Identifier, ...]:
    """The identifiers in `identity`, normalised, strongest first."""
    return normalised.identifiers(identity.email, identity.phone, identity.external_ids, identity.visitor_id)


def visitor_subject(value: str) -> str:
    """The id under which the touches of a visitor are kept while nobody knows who that is (a UUID)."""
    digest = hashlib.blake2b(value.encode(), digest_size=16, person=b"visitor").hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def facts(details: Details) -> Iterator[tuple[str, Any]]:
    """What a touch says about the person: field and value, only what it does say."""
    identity = details.identity
    if identity.email:
        yield "email", normalised.email(identity.email).value
    if identity.phone:
        yield "phone", normalised.phone(identity.phone).value
    person = details.person
    if person is not None:
        for field in PERSON_FIELDS:
            value = getattr(person, field)
            if value is not None and value != "":
                yield field, value
    consent = details.consent
    if consent is not None:
        for field in CONSENT_FIELDS:
            value = getattr(consent, field)
            if value is not None:
                yield CONSENT_PREFIX + field, value


def summary(touch: Touched) -> Touch:
    """What tells where a lead came from."""
    context = touch.details.context
    return Touch(
        type=touch.type,
        occurred_at=touch.occurred_at,
        source=touch.source,
        event_id=touch.event_id,
        page_url=context.page_url if context else None,
        referrer=context.referrer if context else None,
        utm=context.utm if context else None,
        click_ids=(context.click_ids or None) if context else None,
    )


def origin(touch: Touched) -> str:
    """Where the person came from: the campaign's source, else what the client says, else who sent the event."""
    context, properties = touch.details.context, touch.details.properties
    if context is not None and context.utm is not None and context.utm.source:
        return context.utm.source
    said = properties.get("origin") if properties else None
    return said if isinstance(said, str) and said else touch.source
