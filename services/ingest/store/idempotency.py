"""The table of requests that came with an Idempotency-Key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from funnel.envelope import Headers, pack_headers, unpack_headers
from funnel.postgres import Transaction
from services.ingest.store import QUERIES


@dataclass(frozen=True, slots=True)
class Request:
    """What a key stands for: it is the sender's word for a request to one `path` by one `source`."""

    source: str
    path: str
    key: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was given; `content_type` None means the one its status says."""

    status: int
    content_type: bytes | None
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """An earlier use of a key; `answer` is None while that is still being worked on."""

    fingerprint: bytes
    answer: Kept | None


async def begin(
    tx: Transaction, request: Request, fingerprint: bytes, attempt: str, given_up: timedelta, forgotten: timedelta
) -> bool:
    """Take the key for `attempt`. False when an earlier use of it stands.

    Work begun before `given_up` with the same fingerprint is taken over; uses older than `forgotten` do not count.
    """
    args = (request.source, request.path, request.key, fingerprint, attempt, given_up, forgotten)
    return await tx.fetch_value(QUERIES["idempotency_begin"], *args) is not None


async def find(tx: Transaction, request: Request) -> Found | None:
    """The use of the key that stands, or None."""
    row = await tx.fetch_one(QUERIES["idempotency_find"], request.source, request.path, request.key)
    if row is None:
        return None
    if row["status"] is None:
        return Found(row["fingerprint"], None)
    kept = Kept(row["status"], row["content_type"], unpack_headers(row["headers"]), row["body"])
    return Found(row["fingerprint"], kept)


async def keep(tx: Transaction, request: Request, attempt: str, answer: Kept) -> None:
    """Remember the answer, unless the key was taken from `attempt` meanwhile."""
    headers = pack_headers(answer.headers)
    args = (request.source, request.path, request.key, attempt, answer.status, answer.content_type)
    await tx.execute(QUERIES["idempotency_keep"], *args, headers, answer.body)


async def drop(tx: Transaction, request: Request, attempt: str) -> None:
    """Give the key free again, unless it was taken from `attempt` meanwhile."""
    await tx.execute(QUERIES["idempotency_drop"], request.source, request.path, request.key, attempt)


async def prune(tx: Transaction, forgotten: timedelta, most: int) -> int:
    """Delete up to `most` uses older than `forgotten`, the oldest first; returns how many there were."""
    return int(await tx.fetch_value(QUERIES["idempotency_prune"], forgotten, most))
