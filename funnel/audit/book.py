"""The findings, kept in a table: they survive restarts, and a person accepts one with a note. SQL only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from funnel.audit.findings import Doubt, Finding, Kind
from funnel.postgres import Row, Transaction, load_queries

QUERIES = load_queries("funnel.audit.sql")

OPEN_MAX = 10_000
"""Open findings kept of one kind. Beyond that something large is wrong and their number says nothing more."""


async def open_by_kind(tx: Transaction) -> dict[Kind, int]:
    """How many findings are open, for every kind."""
    found = {row["kind"]: row["count"] for row in await tx.fetch(QUERIES["open_by_kind"])}
    return {kind: found.get(kind.value, 0) for kind in Kind}


async def keep(tx: Transaction, doubts: Sequence[Doubt]) -> list[Doubt]:
    """Write down what stands, and return what was never known before. An accepted finding stays accepted."""
    room = {kind: OPEN_MAX - count for kind, count in (await open_by_kind(tx)).items()}
    taken: Counter[Kind] = Counter()
    kept: list[Doubt] = []
    for doubt in sorted(doubts, key=lambda one: one.key):  # one order for all, so that two auditors cannot deadlock
        taken[doubt.kind] += 1
        if taken[doubt.kind] <= room[doubt.kind]:
            kept.append(doubt)
    if not kept:
        return []
    places = [one.place or (None, None, None) for one in kept]
    rows = await tx.fetch(
        QUERIES["keep"],
        [one.kind.value for one in kept],
        [one.what for one in kept],
        [topic for topic, _, _ in places],
        [partition for _, partition, _ in places],
        [offset for _, _, offset in places],
        [one.lead_id for one in kept],
        [dict(one.detail) for one in kept],
    )
    new = {(row["kind"], row["what"]) for row in rows if row["is_new"]}
    return [one for one in kept if (one.kind.value, one.what) in new]


async def to_check(tx: Transaction, limit: int) -> list[Finding]:
    """Open findings that can be looked at again, those first that were not for the longest time."""
    return [_finding(row) for row in await tx.fetch(QUERIES["to_check"], limit)]


async def checked(
    tx: Transaction, looked_at: Collection[int], standing: Collection[int], gone: Collection[int]
) -> None:
    """These findings were looked at again: some stand, some are gone, of the others nothing can be told any more."""
    await tx.execute(QUERIES["checked"], sorted(looked_at), sorted(standing), sorted(gone))


async def listed(tx: Transaction, *, closed: bool = False) -> list[Finding]:
    """The open findings; with `closed` those that are gone or accepted too."""
    return [_finding(row) for row in await tx.fetch(QUERIES["listed"], closed)]


async def accept(tx: Transaction, ids: Collection[int], note: str) -> list[int]:
    """A person takes these as they are; returns those that were open."""
    return [row["id"] for row in await tx.fetch(QUERIES["accept"], sorted(ids), note)]


async def accepted_losses(tx: Transaction) -> dict[str, int]:
    """Of each kind of the ledger: how many a person took as lost for good. Counts have no ids to accept one by one."""
    return {row["kind"]: row["count"] for row in await tx.fetch(QUERIES["accepted_losses"])}


async def accept_loss(tx: Transaction, kind: str, count: int, note: str) -> None:
    """A person takes `count` more of a kind of the ledger as lost for good."""
    await tx.execute(QUERIES["accept_loss"], kind, count, note)


async def cursors(tx: Transaction) -> dict[str, str]:
    """Where the walks over old records and leads stand."""
    return {row["walk"]: row["at"] for row in await tx.fetch(QUERIES["cursors"])}


async def end_round(tx: Transaction, walks: Mapping[str, str]) -> None:
    """A round is complete; the walks stand there now."""
    ordered = sorted(walks.items())
    await tx.execute(QUERIES["move_cursor"], [name for name, _ in ordered], [at for _, at in ordered])
    await tx.execute(QUERIES["round_done"])


async def round_age(tx: Transaction) -> float:
    """Seconds since a round was last complete; since the tables were made where none ever was."""
    return float(await tx.fetch_value(QUERIES["round_age"]))


def _finding(row: Row) -> Finding:
    place = (row["topic"], row["partition"], row["record_offset"]) if row["topic"] is not None else None
    doubt = Doubt(Kind(row["kind"]), row["what"], place, row["lead_id"], row["detail"])
    return Finding(
        row["id"], doubt, row["first_seen"], row["last_seen"], row["gone_at"], row["accepted_at"], row["note"]
    )
