"""The tables of sources and keys. Of a key only its digest and its hint ever come here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from funnel.postgres import Row, Transaction
from services.ingest.domain.source import KeyKind, Source
from services.ingest.store import QUERIES


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A live key. `seconds_left` from the moment of reading on; infinite when it does not expire."""

    source: str
    kind: KeyKind
    digest: bytes
    seconds_left: float


async def load(tx: Transaction) -> tuple[list[Source], list[StoredKey]]:
    """Every source and every live key."""
    keys = [_key(row) for row in await tx.fetch(QUERIES["load_keys"])]
    sources = [_source(row) for row in await tx.fetch(QUERIES["load_sources"])]
    return sources, keys


async def list_sources(tx: Transaction, name: str | None = None) -> list[Row]:
    """All sources by name, or the one called `name`, each with its live keys."""
    return await tx.fetch(QUERIES["list_sources"], name)


async def lock_source(tx: Transaction, name: str) -> bool:
    """Keep everybody else from changing the source; False when there is none of that name."""
    return await tx.fetch_one(QUERIES["lock_source"], name) is not None


async def add_source(tx: Transaction, source: Source) -> bool:
    """Add a source without keys; False when there is one of that name."""
    row = await tx.fetch_one(
        QUERIES["insert_source"],
        source.name,
        source.origins,
        source.redirects,
        source.events_per_second,
        source.honeypot,
        source.min_fill_seconds,
        source.turnstile,
        source.fields,
        source.active,
    )
    return row is not None


async def change_source(
    tx: Transaction,
    name: str,
    *,
    origins: list[str] | None,
    redirects: list[str] | None,
    events_per_second: int | None,
    honeypot: str | None,
    min_fill_seconds: float | None,
    turnstile: bool | None,
    fields: Mapping[str, str] | None,
    active: bool | None,
) -> None:
    """Change what is not None."""
    await tx.execute(
        QUERIES["update_source"],
        name,
        origins,
        redirects,
        events_per_second,
        honeypot,
        min_fill_seconds,
        turnstile,
        fields,
        active,
    )


async def expire_keys(tx: Transaction, source: str, kind: KeyKind, seconds: float) -> None:
    """Let the live keys of the kind live for at most `seconds` more."""
    await tx.execute(QUERIES["expire_keys"], source, kind, seconds)


async def count_live_keys(tx: Transaction, source: str, kind: KeyKind) -> int:
    """How many keys of the kind the source has that will be live when the transaction has ended."""
    count: int = await tx.fetch_value(QUERIES["count_live_keys"], source, kind)
    return count


async def add_key(tx: Transaction, source: str, kind: KeyKind, digest: bytes, hint: str) -> UUID:
    """Add a key; the value is its id."""
    key_id: UUID = await tx.fetch_value(QUERIES["insert_key"], source, kind, digest, hint)
    return key_id


async def revoke_key(tx: Transaction, source: str, key_id: UUID) -> bool:
    """End a key for good; False when the source never had it. A second time changes nothing."""
    return await tx.fetch_one(QUERIES["revoke_key"], source, key_id) is not None


def _source(row: Row) -> Source:
    values: dict[str, Any] = dict(row)
    return Source(**values | {"origins": tuple(row["origins"]), "redirects": tuple(row["redirects"])})


def _key(row: Row) -> StoredKey:
    left = row["seconds_left"]
    return StoredKey(row["source"], KeyKind(row["kind"]), row["digest"], math.inf if left is None else left)
