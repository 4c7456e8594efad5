"""What an import would do, without posting anything: rows, dates, bad rows, leads new and known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from funnel.importing.rows import Entry, Item, Rejection

LOOKUPS_AT_ONCE = 8
LOOKUP_TIMEOUT = 10.0
SHOWN_REJECTIONS = 20

LeadKey = tuple[str, str]
"""How scoring is asked for a lead: `email`, `phone`, `external_id` (system:id) or `lead_id`, and the value."""


@dataclass(slots=True)
class Preview:
    """Counts over a file; `leads` holds the keys of each person once, by the strongest of them."""

    rows: int = 0
    items: int = 0
    rejected: int = 0
    shown: list[Rejection] = field(default_factory=list)
    first: str | None = None
    last: str | None = None
    leads: dict[LeadKey, tuple[LeadKey, ...]] = field(default_factory=dict)
    without_lead: int = 0
    """Rows known by nothing but a visitor id: a touch, but not a lead."""

    @property
    def repeats(self) -> int:
        """Rows that repeat an earlier one."""
        return self.rows - self.items - self.rejected


def preview(rows: Iterable[Entry]) -> Preview:
    """Count the entries of a file. Two spellings of an address count as two leads: normalising is scoring's."""
    found = Preview()
    for entry in rows:
        found.rows += 1
        if isinstance(entry, Rejection):
            found.rejected += 1
            if len(found.shown) < SHOWN_REJECTIONS:
                found.shown.append(entry)
        elif isinstance(entry, Item):
            found.items += 1
            _count(found, entry.body)
    return found


def lead_keys(body: Mapping[str, Any]) -> tuple[LeadKey, ...]:
    """The ways to ask for the person of a body, the strongest first; empty for an anonymous visitor."""
    identity = body.get("identity") or {}
    keys: list[LeadKey] = []
    if "lead_id" in body:
        keys.append(("lead_id", str(body["lead_id"])))
    if "email" in identity:
        keys.append(("email", str(identity["email"]).casefold()))
    if "phone" in identity:
        keys.append(("phone", str(identity["phone"])))
    for system, value in sorted((identity.get("external_ids") or {}).items()):
        keys.append(("external_id", f"{system}:{value}"))
    return tuple(keys)


def count_known(client: httpx.Client, leads: Sequence[Sequence[LeadKey]], advance: Callable[[], None]) -> int | None:
    """How many of the leads scoring knows by any of their keys; None when it cannot be asked.

    `client` has scoring's base URL; `advance` is called after each lead.
    """

    def known(keys: Sequence[LeadKey]) -> bool:
        found = any(_is_known(client, key) for key in keys)
        advance()
        return found

    with ThreadPoolExecutor(LOOKUPS_AT_ONCE) as pool:
        try:
            return sum(pool.map(known, leads))
        except httpx.HTTPError:
            pool.shutdown(cancel_futures=True)
            return None


def _is_known(client: httpx.Client, key: LeadKey) -> bool:
    kind, value = key
    if kind == "lead_id":
        answer = client.get(f"/v1/leads/{value}", timeout=LOOKUP_TIMEOUT)
    else:
        answer = client.post("/v1/leads/lookup", json={kind: value}, timeout=LOOKUP_TIMEOUT)
    if answer.status_code in (404, 422):
        return False
    answer.raise_for_status()
    return True


def _count(found: Preview, body: Mapping[str, Any]) -> None:
    at = body.get("occurred_at")
    if at is not None:
        found.first = min(found.first or at, at)
        found.last = max(found.last or at, at)
    keys = lead_keys(body)
    if keys:
        found.leads.setdefault(keys[0], keys)
    else:
        found.without_lead += 1
