"""Identifiers. All are strings; those derived from facts are the same whenever they are derived again."""

from __future__ import annotations

import uuid

import uuid_utils

_LEADS = uuid.UUID("6f1b6a55-5ad7-5f0e-9c55-0b1d4f3a7e10")
_ASSIGNMENTS = uuid.UUID("1c0de5f2-93c6-5a65-8a0b-6f0f3f6f6a2b")
_EVENTS = uuid.UUID("d2c1a6de-0a5b-5f53-9a1c-3c5b7a0e6f41")
_DECISIONS = uuid.UUID("b8a3c0c4-2d43-5c0a-9f0e-55c4b7a1d9e3")


def new_event_id() -> str:
    """A fresh UUIDv7 for an event that came without an id: sortable by time, so indexes stay local."""
    return str(uuid_utils.uuid7())


def derived_event_id(source: str, *parts: object) -> str:
    """The id of an event of `source` that came without one, from what makes it the same event when it is sent again."""
    return str(uuid.uuid5(_EVENTS, "\n".join([source, *map(str, parts)])))


def lead_id(source: str, event_id: str) -> str:
    """The id of the lead that the event (source, event_id) created."""
    return str(uuid.uuid5(_LEADS, f"{source}\n{event_id}"))


def assignment_id(lead: str, epoch: int) -> str:
    """The id of the assignment of `lead` in its `epoch`; there is at most one."""
    return str(uuid.uuid5(_ASSIGNMENTS, f"{lead}\n{epoch}"))


def decision_id(*parts: object) -> str:
    """The id of a decision, derived from what was decided about (pool and number, or lead and version)."""
    return str(uuid.uuid5(_DECISIONS, "\n".join(map(str, parts))))
