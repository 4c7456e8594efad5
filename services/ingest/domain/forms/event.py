"""The event that a form is: who, where from, what was agreed to, and everything that was typed."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from services.ingest.domain import limits
from services.ingest.domain.fields import Fault
from services.ingest.domain.forms import consent, mapping, touches
from services.ingest.domain.forms.charsets import UTF8, all_storable
from services.ingest.domain.forms.names import is_secret, is_token
from services.ingest.domain.forms.submission import Field, HubSpot, Submission
from services.ingest.domain.identity import strongest

FORM_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

TYPES: Final = ("form.submitted", "document.requested", "demo.requested")
"""What the hidden field `_type` may say; the first when it is absent."""

TOKEN_FIELD: Final = "_token"  # noqa: S105 - a name, not a secret
TURNSTILE_FIELD: Final = "cf-turnstile-response"
REDIRECT_FIELD: Final = "_redirect"
KEY_FIELD: Final = "_key"

_TOUCHES: Final = {"_first_touch": "first_touch", "_last_touch": "last_touch"}
_ADDRESSES: Final = {"_page_url": "page_url", "_landing_url": "landing_url", "_referrer": "referrer"}
_ID_CHARS_MAX: Final = {"_event_id": limits.ID_CHARS_MAX, "_visitor_id": limits.IDENTIFIER_CHARS_MAX}
_CONTROLS: Final = frozenset(
    {
        *("_charset_", *_ID_CHARS_MAX, "_type", KEY_FIELD, REDIRECT_FIELD, TOKEN_FIELD, TURNSTILE_FIELD),
        *_TOUCHES,
        *_ADDRESSES,
    }
)
"""Fields of the page itself, not of the person; what they say stands elsewhere in the event."""

_LEVELS_MAX: Final = 2 * limits.DEPTH_MAX
"""Never reached: what HubSpot's shape brings along was bounded when it was read, and stands a few levels down."""

_IDS: Final = uuid.UUID("0f2c9a1e-6d0b-5b43-9a55-2f6f1d0f7c11")
_MILLISECONDS: Final = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a submission beside it. `referer` is the page that the browser names; `portal` is HubSpot's."""

    form: str
    own_fields: Mapping[str, str]
    honeypot: str
    referer: str | None = None
    portal: str | None = None
    notes: Mapping[str, str] | None = None


def event_of(submission: Submission, arrival: Arrival) -> dict[str, Any]:
    """The event, as a client would send it. `event_id` and `occurred_at` only where the form says them.

    All text in it can be stored: an address or a remembered visit may hold, percent-encoded or escaped, what cannot.
    """
    kept = tuple(one for one in submission.filled if not _is_dropped(one))
    typed = tuple(one for one in kept if one.name not in _CONTROLS and one.name != arrival.honeypot)
    read = mapping.read_fields(typed, arrival.own_fields)
    event: dict[str, Any] = {
        "type": _type(submission),
        "identity": _identity(submission, read, typed),
        "person": mapping.person(read),
        "context": _context(submission, arrival.referer),
        "properties": _properties(submission, arrival, kept, read),
        "consent": _consent(submission, typed, arrival.own_fields),
    }
    if (event_id := submission.text("_event_id")) is not None:
        event["event_id"] = _fitting(event_id)
    if submission.hubspot is not None and (at := _moment(submission.hubspot.submitted_at)) is not None:
        event["occurred_at"] = at.isoformat()
    filled: dict[str, Any] = all_storable({name: part for name, part in event.items() if part}, _LEVELS_MAX)
    return filled


def nobody(event: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Why nobody can be told from `event`, in the words of a form; empty when somebody can."""
    identity = event.get("identity", {})
    if strongest(identity) is not None:
        return ()
    faults = []
    if "email" in identity:
        faults.append(Fault("/email", "must be an e-mail address"))
    if "phone" in identity:
        faults.append(Fault("/phone", "must be a phone number"))
    return tuple(faults) or (
        Fault("/email", "is required, or a phone number"),
        Fault("/phone", "is required, or an e-mail address"),
    )


def id_of_a_double_click(submission: Submission, form: str) -> str | None:
    """The id of a submission that brings a token: the same for the same fields under the same token.

    None without a token: two people may well send the same words.
    """
    token = submission.text(TOKEN_FIELD)
    if token is None:
        return None
    same = [one for one in submission.fields if not is_token(one.name)]
    return str(uuid.uuid5(_IDS, msgspec.json.encode([form, token, same]).decode()))


def _fitting(event_id: str) -> str:
    """`event_id`, or where it is too long for one a hash of it: sent again, it is the same event."""
    return event_id if len(event_id) <= limits.ID_CHARS_MAX else str(uuid.uuid5(_IDS, f"event id\n{event_id}"))


def _is_dropped(one: Field) -> bool:
    """Whether the field is not kept: it says nothing, or it stands elsewhere in the event, or must not be stored.

    The honeypot's text is kept, for whoever judges the suspect to see, but nothing is read from it.
    """
    if one.name == "_type":
        return one.text.strip() in TYPES
    if one.name in _TOUCHES:
        return touches.remembered(one.text.strip()) is not None
    if one.name in _ID_CHARS_MAX:
        return len(one.text.strip()) <= _ID_CHARS_MAX[one.name]
    return one.name in _CONTROLS or is_token(one.name) or is_secret(one.name)


def _type(submission: Submission) -> str:
    said = submission.text("_type")
    return said if said in TYPES else TYPES[0]


def _identity(submission: Submission, read: mapping.Read, typed: Sequence[Field]) -> dict[str, Any]:
    identity = mapping.identity(read, typed)
    hubspot = submission.hubspot
    for visitor in (submission.text("_visitor_id"), hubspot and hubspot.context.get("hutk")):
        if isinstance(visitor, str) and 0 < len(visitor.strip()) <= limits.IDENTIFIER_CHARS_MAX:
            return identity | {"visitor_id": visitor.strip()}
    return identity


def _context(submission: Submission, referer: str | None) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for name, part in _ADDRESSES.items():
        if (address := submission.text(name)) is not None:
            context[part] = address
    if "page_url" not in context and (page := _page(submission.hubspot) or referer):
        context["page_url"] = page
    addresses = [touches.pairs_of(context.get(part)) for part in ("page_url", "landing_url")]
    if campaign := touches.utm(submission.fields, *addresses):
        context["utm"] = campaign
    if clicks := touches.click_ids(submission.fields, *addresses):
        context["click_ids"] = clicks
    for name, part in _TOUCHES.items():
        said = submission.text(name)
        if said is not None and (visit := touches.remembered(said)) is not None:
            context[part] = visit
    return context


def _page(hubspot: HubSpot | None) -> str | None:
    page = hubspot.context.get("pageUri") if hubspot is not None else None
    return page if isinstance(page, str) and page.strip() else None


def _properties(submission: Submission, arrival: Arrival, kept: Sequence[Field], read: mapping.Read) -> dict[str, Any]:
    own = {
        target.removeprefix("properties."): texts[0]
        for target, texts in read.items()
        if target.startswith("properties.")
    }
    properties: dict[str, Any] = {**own, "form": arrival.form, "fields": _by_name(kept), **(arrival.notes or {})}
    dropped = sorted({one.name for one in submission.filled if is_secret(one.name)})
    if dropped:
        properties["fields_not_stored"] = dropped
    if submission.charset != UTF8:
        properties["charset"] = submission.charset
    if submission.hubspot is not None:
        properties["hubspot"] = _hubspot(submission.hubspot, arrival.portal)
    return properties


def _by_name(kept: Sequence[Field]) -> dict[str, str | list[str]]:
    found: dict[str, list[str]] = {}
    for one in kept:
        found.setdefault(one.name, []).append(one.text)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in found.items()}


def _hubspot(hubspot: HubSpot, portal: str | None) -> dict[str, Any]:
    """What HubSpot's shape says beside the fields; without the IP address, which nobody typed and nothing needs."""
    context = {name: value for name, value in hubspot.context.items() if name != "ipAddress"}
    parts = {"portal": portal, "context": context, "legalConsentOptions": dict(hubspot.consent)}
    return {name: part for name, part in parts.items() if part}


def _consent(submission: Submission, typed: Sequence[Field], own: Mapping[str, str]) -> dict[str, Any]:
    by_fields = consent.of_fields(mapping.consent_answers(typed, own))
    return by_fields | consent.of_hubspot(submission.hubspot.consent) if submission.hubspot else by_fields


def _moment(submitted_at: Any) -> datetime | None:
    """HubSpot's time of a submission: milliseconds since 1970, as a number or as text."""
    if not isinstance(submitted_at, str | int) or not _MILLISECONDS.fullmatch(str(submitted_at)):
        return None
    try:
        return datetime.fromtimestamp(int(submitted_at) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None
