"""Keeps personal data out of what commands print: what is not known to be harmless is masked."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from funnel.envelope import SUSPECT

MASK: Final = "***"

_NAMES: Final = """
    about amount assigned_at assignment_id at basis campaign channel config_version content country created_at
    currency deal_id deal_stage decision_id employees engagement epoch event_id fit flags follow_up_at grade
    industry kind lead_id marketing medium meeting_at mode number occurred_at occurred_at_sent origin points pool
    previous_assignment_id previous_stage qualified qualified_at reason received_at rep_id respond_by role rule
    score sent_at source stage state status tags term type version why
"""
_HARMLESS: Final = frozenset(_NAMES.split())
"""Fields whose values say nothing about a person, wherever they stand."""

_HARMLESS_WITHIN: Final = {"amount": frozenset({"value"}), "rep": frozenset({"id"}), "account": frozenset({"id"})}
"""Fields that are harmless under one parent only: `value` is money in an amount, an e-mail in an identifier."""

_PARTS: Final = frozenset(
    [
        "account",
        "amount",
        "caused_by",
        "consent",
        "contact",
        "context",
        "deals",
        "first_touch",
        "flags",
        "identifiers",
        "identity",
        "last_touch",
        "outcome",
        "person",
        "reasons",
        "rep",
        "tags",
        "utm",
        "voice",
    ]
)
"""Our own parts of a record. In any other (`properties`, external ids, fields we do not know) no name means what it
means to us, so everything in it is masked."""

_HEADERS: Final = frozenset(
    [
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_time",
        "ce_subject",
        "ce_dataschema",
        "ce_bodyhash",
        SUSPECT,
        "content-type",
        "traceparent",
    ]
)
"""Our own headers; they hold ids only."""


def masked(value: Any, parent: str = "") -> Any:
    """`value`, decoded from JSON, with everything that may be personal replaced by `***`; its shape stays."""
    if isinstance(value, dict):
        return {name: _field(name, part, parent) for name, part in value.items()}
    if isinstance(value, list):
        return [masked(part, parent) for part in value]
    return value if parent in _HARMLESS or value is None else MASK


def masked_json(raw: bytes) -> Any:
    """The record's value, decoded and masked; for bytes that are not JSON only their number."""
    try:
        return masked(msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"{MASK} ({len(raw)} bytes that are not JSON)"


def readable_json(raw: bytes) -> Any:
    """The record's value, decoded but not masked; bytes that are not JSON as text."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw.decode("utf-8", "backslashreplace")


def masked_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers, those that are not ours masked."""
    return [(name, text if name in _HEADERS else MASK) for name, text in headers]


def _field(name: str, part: Any, parent: str) -> Any:
    if isinstance(part, dict | list):
        return masked(part, name) if name in _PARTS else _emptied(part)
    harmless = name in _HARMLESS or name in _HARMLESS_WITHIN.get(parent, ())
    return part if harmless or part is None else MASK


def _emptied(part: Any) -> Any:
    """Every value under `part` masked, whatever its name."""
    if isinstance(part, dict):
        return {name: _emptied(inner) for name, inner in part.items()}
    if isinstance(part, list):
        return [_emptied(inner) for inner in part]
    return None if part is None else MASK
