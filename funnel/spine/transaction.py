"""The one transaction of a batch: position, inbox, lock, load, decide, save, outbox, quarantine, commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from funnel.clock import Clock
from funnel.envelope import pack_headers
from funnel.failpoints import reach
from funnel.kafka.consumer import Partition
from funnel.postgres import Database, Transaction, load_queries
from funnel.spine import outbox
from funnel.spine.chunks import Chunk, Poisoned, storable
from funnel.spine.leases import LEASE
from funnel.spine.model import AnyHandler, Message

QUERIES = load_queries("funnel.spine.sql")


@dataclass(frozen=True, slots=True)
class Result:
    """What a committed transaction did. `fenced` partitions belong to someone else now; nothing of them was applied."""

    kept: frozenset[Partition]
    fenced: frozenset[Partition]
    published: int


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The items of a batch by what becomes of them."""

    fresh: list[Message[Any]]
    duplicates: list[Message[Any]]
    poisoned: list[Poisoned]


async def apply(
    database: Database, handler: AnyHandler, chunks: Sequence[Chunk], clock: Clock, *, notify: bool
) -> Result:
    """Apply `chunks` (at most one per partition) in one transaction.

    `notify`: tell other replicas that the outbox has rows. Raises what `Database.transaction` raises, UnknownVersion
    and PartitionStopped of the handler; any other exception is a bug of the handler.
    """
    async with database.transaction(by_key=True) as tx:
        reach("spine.advance.before")
        kept = await _advance(tx, chunks)
        reach("spine.advance.after")
        live = [chunk for chunk in chunks if chunk.partition in kept]
        fenced = frozenset(chunk.partition for chunk in chunks) - kept
        if not live:
            return Result(kept, fenced, 0)
        items = await _claim(tx, live)
        reach("spine.inbox.after")
        published = 0
        quarantined = items.poisoned
        if items.fresh:
            keys = await handler.lock(tx, items.fresh)
            reach("spine.lock.after")
            state = await handler.load(tx, keys)
            reach("spine.load.after")
            decision = handler.decide(state, items.fresh, clock.now())
            reach("spine.decide.after")
            await handler.save(tx, decision)
            reach("spine.save.after")
            await outbox.put(tx, decision.outgoing)
            published = len(decision.outgoing)
            rejected = [_poisoned(r.message, r.reason) for r in decision.rejected]
            await _forget(tx, rejected)
            quarantined = quarantined + rejected
        await _quarantine(tx, quarantined)
        await _recount(tx, items.duplicates, quarantined)
        if published and notify:
            await tx.execute(QUERIES["notify_outbox"])
        reach("spine.commit.before")
    reach("spine.commit.after")
    return Result(kept, fenced, published)


async def _advance(tx: Transaction, chunks: Sequence[Chunk]) -> frozenset[Partition]:
    rows = await tx.fetch(
        QUERIES["advance"],
        [c.partition[0] for c in chunks],
        [c.partition[1] for c in chunks],
        [c.epoch for c in chunks],
        [c.expected for c in chunks],
        [c.next for c in chunks],
        [c.last for c in chunks],
        [c.holes for c in chunks],
        LEASE,
        [len(c.items) for c in chunks],
    )
    return frozenset((row["topic"], row["partition"]) for row in rows)


async def _claim(tx: Transaction, chunks: Sequence[Chunk]) -> _Sorted:
    """Sort the items into new ones, repeats, and those that can never be applied (reused ids among them)."""
    poisoned = [i for c in chunks for i in c.items if isinstance(i, Poisoned)]
    messages = [i for c in chunks for i in c.items if isinstance(i, Message)]
    first: dict[tuple[str, str], Message[Any]] = {}
    later = [m for m in messages if first.setdefault((m.source, m.event_id), m) is not m]
    if not first:
        return _Sorted([], [], poisoned)
    ordered = sorted(first)
    rows = await tx.fetch(
        QUERIES["claim_inbox"],
        [source for source, _ in ordered],
        [event_id for _, event_id in ordered],
        [first[key].hash for key in ordered],
    )
    new = {(row["source"], row["event_id"]) for row in rows}
    if len(new) == len(messages):
        return _Sorted(messages, [], poisoned)
    seen = [m for key, m in first.items() if key not in new]
    hashes = {key: first[key].hash for key in new}
    if seen:
        hashes |= await _known_hashes(tx, seen)
    duplicates: list[Message[Any]] = []
    for message in seen + later:
        if hashes.get((message.source, message.event_id)) == message.hash:
            duplicates.append(message)
        else:
            poisoned.append(_poisoned(message, "event_id_reused: the same id was used before with another body"))
    return _Sorted([m for key, m in first.items() if key in new], duplicates, poisoned)


async def _known_hashes(tx: Transaction, messages: Sequence[Message[Any]]) -> dict[tuple[str, str], bytes]:
    rows = await tx.fetch(QUERIES["known_hashes"], [m.source for m in messages], [m.event_id for m in messages])
    return {(row["source"], row["event_id"]): row["hash"] for row in rows}


def _poisoned(message: Message[Any], reason: str) -> Poisoned:
    return Poisoned(message.topic, message.record, message.source, message.event_id, reason)


async def _forget(tx: Transaction, rejected: Sequence[Poisoned]) -> None:
    """A rejected event had no effect, so its id is free again: a replay of it must not pass for a repeat."""
    if rejected:
        await tx.execute(QUERIES["forget_inbox"], [r.source for r in rejected], [r.event_id for r in rejected])
        reach("spine.forget.after")


async def _quarantine(tx: Transaction, items: Sequence[Poisoned]) -> None:
    if not items:
        return
    await tx.execute(
        QUERIES["put_quarantine"],
        [i.topic for i in items],
        [i.record.partition for i in items],
        [i.record.offset for i in items],
        [storable(i.source) for i in items],
        [storable(i.event_id) for i in items],
        [storable(i.reason) for i in items],
        [i.record.key for i in items],
        [i.record.value for i in items],
        [pack_headers(i.record.headers) for i in items],
    )
    reach("spine.quarantine.after")


async def _recount(tx: Transaction, duplicates: Sequence[Message[Any]], quarantined: Sequence[Poisoned]) -> None:
    """Correct the counters that moved with the position: applied + duplicates + quarantined = records passed."""
    repeats = Counter((m.topic, m.record.partition) for m in duplicates)
    bad = Counter((p.topic, p.record.partition) for p in quarantined)
    partitions = sorted(repeats.keys() | bad.keys())
    if partitions:
        await tx.execute(
            QUERIES["recount"],
            [topic for topic, _ in partitions],
            [number for _, number in partitions],
            [repeats[p] for p in partitions],
            [bad[p] for p in partitions],
        )
        reach("spine.recount.after")
