"""Position rows: where each partition stands, and the counters that move with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from funnel.errors import FunnelError
from funnel.failpoints import reach
from funnel.kafka.consumer import Partition
from funnel.postgres import Database, Transaction, load_queries
from funnel.spine.chunks import Cursor

QUERIES = load_queries("funnel.spine.sql")


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One partition as a service has read it. Counters are records; `first` and `next` are offsets (None: unread).

    applied + duplicates + quarantined + holes + skipped = next - first.
    """

    service: str
    topic: str
    partition: int
    owner: str | None
    lease_until: datetime | None
    live: bool
    epoch: int
    first: int | None
    next: int | None
    applied: int
    duplicates: int
    quarantined: int
    holes: int
    skipped: int


async def read(tx: Transaction, service: str) -> list[PositionRow]:
    """The position rows of `service` (its schema), whichever schema `tx` itself works in."""
    rows = await tx.fetch(QUERIES["all_positions"].replace("FROM position", f"FROM {_schema(service)}.position"))
    return [PositionRow(service=service, **row) for row in rows]


async def skip(tx: Transaction, topic: str, partition: int, to: int) -> int:
    """Give up the records before offset `to`: they are counted as skipped for ever. Returns the total skipped.

    Raises FunnelError when the partition is unread or already at or past `to`.
    """
    reach("position.skip.before")
    skipped = await tx.fetch_value(QUERIES["skip_to"], topic, partition, to)
    reach("position.skip.commit")
    if skipped is None:
        raise FunnelError(f"Nothing to skip: {topic}/{partition} is not before offset {to}.")
    return int(skipped)


async def locate(
    database: Database, held: Mapping[Partition, int], bounds: Mapping[Partition, tuple[int, int]]
) -> dict[Partition, Cursor]:
    """Cursors for freshly claimed partitions, `stopped` where the log does not continue what was applied.

    Partitions fenced in the meantime are left out.
    """
    places = sorted(held)
    topics, numbers, epochs = [t for t, _ in places], [n for _, n in places], [held[p] for p in places]
    async with database.transaction() as tx:
        reach("spine.locate.before")
        await tx.execute(QUERIES["start_positions"], topics, numbers, epochs, [bounds[p][0] for p in places])
        rows = await tx.fetch(QUERIES["held_positions"], topics, numbers, epochs)
        reach("spine.locate.commit")
    reach("spine.locate.after")
    return {
        (row["topic"], row["partition"]): _cursor(
            row["epoch"], row["next"], row["last_ce_id"], bounds[row["topic"], row["partition"]]
        )
        for row in rows
    }


def _cursor(epoch: int, position: int, last_ce_id: str | None, bounds: tuple[int, int]) -> Cursor:
    begin, end = bounds
    if position > end:
        return Cursor(
            epoch,
            position,
            stopped=f"the log ends at offset {end} but {position} was reached: the topic was truncated or recreated.",
        )
    if position < begin:
        return Cursor(
            epoch,
            position,
            stopped=f"offset {position} is no longer in the log, which starts at {begin}: retention removed records "
            "that were never applied (`funnel position skip` accepts the loss).",
        )
    return Cursor(epoch, position, verify=last_ce_id if position > begin else None)


def _schema(service: str) -> str:
    if service not in ("scoring", "routing", "metrics"):
        raise ValueError(f"{service!r} has no positions")
    return service
