"""The outbox: records to publish are rows of the transaction that decided them."""

from __future__ import annotations

from collections.abc import Sequence

from funnel.envelope import Outgoing, pack_headers
from funnel.failpoints import reach
from funnel.postgres import Transaction, load_queries

QUERIES = load_queries("funnel.spine.sql")

_COLUMNS = ("topic", "key", "ce_id", "headers", "value")


async def put(tx: Transaction, records: Sequence[Outgoing]) -> None:
    """Add `records` in order; they are published if and only if `tx` commits (wake the relay after that)."""
    if not records:
        return
    rows = [(r.topic, r.key, r.ce_id, pack_headers(r.headers()), r.value) for r in records]
    await tx.copy("outbox", _COLUMNS, rows)
    reach("spine.outbox.after")


async def announce(tx: Transaction) -> None:
    """Wake relays of other processes when `tx` commits."""
    await tx.execute(QUERIES["notify_outbox"])
