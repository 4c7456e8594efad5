"""A touch: one event about a person, reduced to what scoring reads and keeps for good."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from funnel import identifiers as normalised
from funnel.contracts import (
    Consent,
    ConsentStatement,
    Context,
    Identity,
    LeadEvent,
    Mode,
    Person,
    RememberedTouch,
    Touch,
    Utm,
)

PERSON_FIELDS = Person.__struct_fields__
CONSENT_FIELDS = Consent.__struct_fields__
CONSENT_PREFIX = "consent."
REMEMBERED_TYPE = "page.viewed"
"""A visit that a browser remembers is no event of ours, and was one to look at a page."""

_NOWHERE = Context()
_NO_CAMPAIGN = Utm()

Moment = tuple[datetime, str, str]
"""(occurred_at, event_id, source): the order of the touches of a lead, whatever order they arrive in."""


class Details(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, kw_only=True):
    """The parts of an event that have no column of their own, as the client sent them (identity not normalised)."""

    identity: Identity
    mode: Mode = "live"
    person: Person | None = None
    context: Context | None = None
    properties: dict[str, Any] | None = None
    consent: ConsentStatement | None = None


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


def facts(touch: Touched) -> Iterator[tuple[str, Any, Moment]]:
    """What a touch says about the person: field, value and since when, only what it does say."""
    details, moment = touch.details, touch.moment
    identity = details.identity
    if identity.email:
        yield "email", normalised.email(identity.email).value, moment
    if identity.phone:
        yield "phone", normalised.phone(identity.phone).value, moment
    person = details.person
    if person is not None:
        for field in PERSON_FIELDS:
            value = getattr(person, field)
            if value is not None and value != "":
                yield field, value, moment
    consent = details.consent
    if consent is not None:
        stated = (_not_after(touch, consent.at), *moment[1:])  # a tool may tell late of an old yes; a newer no stands
        for field in CONSENT_FIELDS:
            value = getattr(consent, field)
            if value is not None:
                yield CONSENT_PREFIX + field, value, stated


def latest(touch: Touched) -> Touch:
    """The event as a touch: what tells where a lead came from.

    Where the event does not itself say how the visitor came to the site, what the browser remembered of the last time
    says it: a form lies behind the page with the campaign in its address. One or the other, never a mix of two visits.
    """
    context = touch.details.context or _NOWHERE
    last = context.last_touch
    way: Context | RememberedTouch = context if last is None or _says_how(context) else last
    return Touch(
        type=touch.type,
        occurred_at=touch.occurred_at,
        source=touch.source,
        event_id=touch.event_id,
        page_url=context.page_url,
        landing_url=way.landing_url,
        referrer=context.referrer or way.referrer,
        utm=way.utm,
        click_ids=way.click_ids or None,
    )


def earliest(touch: Touched, itself: Touch) -> Touch:
    """The earliest touch that the event tells of: a visit the browser remembered, else the event `itself`."""
    found = itself
    context = touch.details.context
    if context is None:
        return found
    for remembered in (context.last_touch, context.first_touch):
        if remembered is None or _is_empty(remembered):
            continue
        at = _not_after(touch, remembered.at)
        if at <= found.occurred_at:
            found = Touch(
                type=REMEMBERED_TYPE,
                occurred_at=at,
                source=touch.source,
                event_id=touch.event_id,
                page_url=remembered.page_url,
                landing_url=remembered.landing_url,
                referrer=remembered.referrer,
                utm=remembered.utm,
                click_ids=remembered.click_ids or None,
            )
    return found


def origin(touch: Touched, first: Touch) -> str:
    """Where the person came from, whose `first` touch the event tells of: the campaign's source, else what the client
    says, else who sent the event.
    """
    if first.utm is not None and first.utm.source:
        return first.utm.source
    properties = touch.details.properties
    said = properties.get("origin") if properties else None
    return said if isinstance(said, str) and said else touch.source


def _says_how(place: Context | RememberedTouch) -> bool:
    """Whether it says how the visitor came to the site, not only which page they were on."""
    return bool(place.landing_url or place.click_ids or (place.utm is not None and place.utm != _NO_CAMPAIGN))


def _is_empty(remembered: RememberedTouch) -> bool:
    return not (remembered.at or remembered.page_url or remembered.referrer or _says_how(remembered))


def _not_after(touch: Touched, at: datetime | None) -> datetime:
    """A time that the event tells of, by the client's own clock: that of the event when absent, and never later."""
    return touch.occurred_at if at is None or at > touch.occurred_at else at
