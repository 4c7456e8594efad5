"""The fields a spreadsheet column may fill: names and types of the ingest API's events and outcomes.

Ingest keeps fields it does not know, so a misspelt name there would be accepted and mean nothing. A mapping
is therefore checked against this list; `properties.*` is the place for what has no field of its own.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from enum import StrEnum


class Kind(StrEnum):
    """What the rows are."""

    EVENTS = "events"
    OUTCOMES = "outcomes"


class CellType(StrEnum):
    """How the text of a cell becomes a value."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    MONEY = "money"
    """A decimal number kept as text, as amounts are on the wire."""
    BOOLEAN = "boolean"
    TIME = "time"


_TEXT = CellType.TEXT
_IDENTITY = dict.fromkeys(("identity.email", "identity.phone", "identity.visitor_id"), _TEXT)
_PERSON_NAMES = ("name", "name_kana", "first_name", "last_name", "title", "department")
_PERSON_FIRM = (
    "company",
    "corporate_number",
    "industry",
    "country",
    "region",
    "city",
    "postal_code",
    "message",
)
_PERSON = dict.fromkeys(_PERSON_NAMES + _PERSON_FIRM, _TEXT) | {"employees": CellType.INTEGER}
_UTM = ("source", "medium", "campaign", "term", "content")

_EVENT_FIELDS: Mapping[str, CellType] = (
    dict.fromkeys(("type", "context.page_url", "context.landing_url", "context.referrer"), _TEXT)
    | {"occurred_at": CellType.TIME}
    | _IDENTITY
    | {f"person.{name}": kind for name, kind in _PERSON.items()}
    | {f"context.utm.{name}": _TEXT for name in _UTM}
    | {f"consent.{name}": CellType.BOOLEAN for name in ("marketing", "email", "phone", "sms")}
    | {"consent.at": CellType.TIME, "consent.text": _TEXT, "consent.basis": _TEXT}
)
_OUTCOME_FIELDS: Mapping[str, CellType] = (
    dict.fromkeys(("type", "lead_id", "assignment_id", "rep_id", "channel"), _TEXT)
    | dict.fromkeys(("deal_id", "deal_stage", "reason", "note"), _TEXT)
    | _IDENTITY
    | {"epoch": CellType.INTEGER}
    | dict.fromkeys(("occurred_at", "meeting_at", "follow_up_at"), CellType.TIME)
    | {"amount.value": CellType.MONEY, "amount.currency": _TEXT}
    | {f"voice.{name}": _TEXT for name in ("text", "about", "competitor")}
)

FIELDS: Mapping[Kind, Mapping[str, CellType]] = {Kind.EVENTS: _EVENT_FIELDS, Kind.OUTCOMES: _OUTCOME_FIELDS}
"""Every field that has a fixed name."""

OPEN_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    Kind.EVENTS: ("properties", "identity.external_ids", "context.click_ids"),
    Kind.OUTCOMES: ("properties", "identity.external_ids"),
}
"""Objects whose members the mapping names; only those of `properties` may have another type than text."""

_MEMBER = re.compile(r"[\w-]+")


class UnknownFieldError(ValueError):
    """A path that is no field of this kind; the message suggests the nearest one."""


def type_of(kind: Kind, path: str) -> CellType | None:
    """The type of the field `path`; None when the mapping may choose (below `properties`).

    Raises UnknownFieldError.
    """
    known = FIELDS[kind].get(path)
    if known is not None:
        return known
    for parent in OPEN_FIELDS[kind]:
        members = path.removeprefix(parent + ".")
        if members != path and all(_MEMBER.fullmatch(member) for member in members.split(".")):
            if parent == "properties":
                return None
            if "." not in members:
                return _TEXT
    raise UnknownFieldError(_unknown(kind, path))


def _unknown(kind: Kind, path: str) -> str:
    choices = [*FIELDS[kind], *(f"{parent}.NAME" for parent in OPEN_FIELDS[kind])]
    near = difflib.get_close_matches(path, choices, n=1, cutoff=0.7)
    hint = f"did you mean {near[0]!r}?" if near else "what has no field of its own goes to 'properties.NAME'"
    return f"{kind} have no field {path!r}; {hint}"
