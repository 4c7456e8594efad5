"""The two kinds of things taken in, as tables: events of marketing and outcomes of sales.

The field names are those of `schemas/events/lead_event.v2` and `lead_outcome.v1`; a test keeps them equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from services.ingest.domain import limits
from services.ingest.domain.fields import (
    Fault,
    Reader,
    anything,
    boolean,
    integer,
    mapping,
    moment,
    one_of,
    pattern,
    record,
    sequence,
    text,
)
from services.ingest.domain.identity import identity_faults, read_identity

_UUID: Final = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_NEEDS_REASON: Final = frozenset({"rejected", "lost", "recycled", "disqualified"})


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind is read, checked as a whole, and stored. `about_lead`: it may name a lead instead of a person.

    `corrects_clocks`: it may say by `sent_at` what its sender's clock showed. `typed` decodes and checks in one go
    what holds nothing unusual; None: there is not enough of it to be in a hurry.
    """

    name: str
    plural: str
    topic: str
    dataschema: str
    type_prefix: str
    about_lead: bool
    corrects_clocks: bool
    read: Reader
    check: Callable[[Mapping[str, Any]], Iterator[Fault]]
    typed: msgspec.json.Decoder[Any] | None = None


_id = text(limits.ID_CHARS_MAX)
_click_ids = mapping(text(), text(), limits.CLICK_IDS_MAX)
_utm = record(dict.fromkeys(("source", "medium", "campaign", "term", "content"), text()), "Utm")
_came_by: Mapping[str, Reader] = {
    **dict.fromkeys(("page_url", "landing_url", "referrer"), text()),
    "utm": _utm,
    "click_ids": _click_ids,
}
_touch = record({"at": moment, **_came_by}, "Touch")
_context = record({**_came_by, "first_touch": _touch, "last_touch": _touch}, "Context")
_person_texts = (
    *("name", "name_kana", "first_name", "last_name", "title", "department", "company", "corporate_number"),
    *("industry", "country", "region", "city", "postal_code", "message"),
)
_person = record(
    {**dict.fromkeys(_person_texts, text()), "employees": integer(0, limits.EMPLOYEES_MAX)},
    "Person",
)
_consent = record(
    {
        **dict.fromkeys(("marketing", "email", "phone", "sms"), boolean),
        "at": moment,
        "text": text(),
        "basis": one_of("consent", "legitimate_interest"),
    },
    "Consent",
)

_read_event = record(
    {
        "event_id": _id,
        "type": pattern(
            r"[a-z][a-z0-9_.]*",
            limits.TYPE_CHARS_MAX,
            "must start with a lower-case letter and go on with lower-case letters, digits, dots or underscores",
        ),
        "occurred_at": moment,
        "sent_at": moment,
        "identity": read_identity,
        "person": _person,
        "context": _context,
        "properties": anything,
        "consent": _consent,
    },
    "Event",
)

_read_outcome = record(
    {
        "event_id": _id,
        "type": one_of(
            *("attempted", "contacted", "accepted", "rejected"),
            *("appointment.set", "appointment.held", "appointment.no_show", "appointment.cancelled"),
            *("opportunity.opened", "deal.updated", "won", "won.cancelled", "lost", "reopened"),
            *("recycled", "disqualified"),
        ),
        "lead_id": pattern(_UUID, 36, "must be a lead_id as published in lead-assignments (a UUID)"),
        "identity": read_identity,
        "assignment_id": pattern(_UUID, 36, "must be an assignment_id as published (a UUID)"),
        "epoch": integer(1, limits.EPOCH_MAX),
        "rep_id": _id,
        "occurred_at": moment,
        "channel": one_of("phone", "email", "meeting", "other"),
        "deal_id": _id,
        "deal_stage": _id,
        "reason": _id,
        "note": text(),
        "meeting_at": moment,
        "follow_up_at": moment,
        "amount": record(
            {
                "value": pattern(
                    r"[0-9]{1,18}(\.[0-9]{1,6})?", 25, 'must be a decimal number as a string, such as "1200000"'
                ),
                "currency": pattern(r"[A-Z]{3}", 3, "must be a currency code of ISO 4217, such as JPY"),
            }
        ),
        "voice": record(
            {
                "text": text(),
                "about": one_of("customer", "competitor", "company"),
                "competitor": text(),
                "tags": sequence(_id, limits.TAGS_MAX),
            }
        ),
    }
)


def _check_event(event: Mapping[str, Any]) -> Iterator[Fault]:
    if "type" not in event:
        yield Fault("/type", "is required")
    yield from identity_faults(event.get("identity", {}))


def _check_outcome(outcome: Mapping[str, Any]) -> Iterator[Fault]:
    if "type" not in outcome:
        yield Fault("/type", "is required")
    if "lead_id" not in outcome:
        if "identity" in outcome:
            yield from identity_faults(outcome["identity"])
        else:
            yield Fault("/lead_id", "is required, or an identity")
    if outcome.get("type") in _NEEDS_REASON and "reason" not in outcome:
        yield Fault("/reason", f"is required when the type is {outcome['type']}")
    if "amount" in outcome:
        yield from (
            Fault(f"/amount/{name}", "is required in an amount")
            for name in ("value", "currency")
            if name not in outcome["amount"]
        )


EVENT: Final = Kind(
    name="event",
    plural="events",
    topic="lead-events",
    dataschema="lead_event.v2",
    type_prefix="",
    about_lead=False,
    corrects_clocks=True,
    read=_read_event,
    check=_check_event,
    typed=msgspec.json.Decoder(_read_event.type),
)
OUTCOME: Final = Kind(
    name="outcome",
    plural="outcomes",
    topic="lead-outcomes",
    dataschema="lead_outcome.v1",
    type_prefix="outcome.",
    about_lead=True,
    corrects_clocks=False,
    read=_read_outcome,
    check=_check_outcome,
)
