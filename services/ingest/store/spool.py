"""The tables of the spool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from funnel.envelope import Headers, pack_headers, unpack_headers
from funnel.postgres import Transaction
from services.ingest.store import QUERIES


@dataclass(frozen=True, slots=True)
class Row:
    """A record as it was answered for; `topic` is the logical name."""

    topic: str
    key: bytes
    headers: Headers
    value: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many rows wait to be published, and the age of the oldest in seconds."""

    rows: int = 0
    seconds: float = 0.0


async def put(tx: Transaction, replica: str, rows: Sequence[Row]) -> None:
    """Add rows, counted in the name of `replica`."""
    await tx.execute(
        QUERIES["spool_put"],
        replica,
        [row.topic for row in rows],
        [row.key for row in rows],
        [pack_headers(row.headers) for row in rows],
        [row.value for row in rows],
    )


async def claim(
    tx: Transaction, replica: str, period: timedelta, most: int, bytes_max: int, after: int
) -> dict[int, Row]:
    """Up to `most` of the oldest rows with an id above `after` that nobody has in hand, by id, in order.

    For `period` they are `replica`'s alone. Their values are together at most one value larger than `bytes_max`.
    """
    found = await tx.fetch(QUERIES["spool_claim"], replica, period, most, bytes_max, after)
    return {
        row["id"]: Row(row["topic"], row["key"], unpack_headers(row["headers"]), row["value"])
        for row in sorted(found, key=lambda row: int(row["id"]))
    }


async def forget(tx: Transaction, replica: str, ids: Sequence[int]) -> None:
    """Take out what is published, counted in the name of `replica`; ids that are gone already do no harm."""
    await tx.execute(QUERIES["spool_forget"], replica, ids)


async def release(tx: Transaction, replica: str, ids: Sequence[int]) -> None:
    """Let anybody claim the rows again that `replica` has in hand."""
    await tx.execute(QUERIES["spool_release"], replica, ids)


async def waiting(tx: Transaction) -> Waiting:
    """What waits now."""
    row = await tx.fetch_one(QUERIES["spool_waiting"])
    return Waiting() if row is None else Waiting(row["rows"] or 0, row["seconds"])
