"""The statements of `funnel/spine/sql`, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from funnel.postgres import load_queries
from tests.simulator.database import Key, Rows, Session, Statement, Waiting
from tests.simulator.statements.rows import change, insert_missing, pick

QUERIES = load_queries("funnel.spine.sql")

NEVER = float("-inf")
_COUNTERS = ("applied", "duplicates", "quarantined", "holes", "skipped")
_EMPTY: dict[str, Any] = {
    "owner": None,
    "lease_until": NEVER,
    "epoch": 0,
    "first": None,
    "next": None,
    "last_ce_id": None,
    **dict.fromkeys(_COUNTERS, 0),
}


# -- batch.sql ---------------------------------------------------------------------------------------------------


def advance(
    s: Session,
    topics: Sequence[str],
    partitions: Sequence[int],
    epochs: Sequence[int],
    expected: Sequence[int],
    nexts: Sequence[int],
    lasts: Sequence[str | None],
    holes: Sequence[int],
    lease: timedelta,
    records: Sequence[int],
) -> Waiting:
    batch = zip(topics, partitions, epochs, expected, nexts, lasts, holes, records, strict=True)
    fits = [one for one in batch if _is_at(s, one[:2], one[2], one[3])]
    kept: Rows = []
    for topic, partition, epoch, before, after, last, gap, count in fits:
        key = (topic, partition)
        yield "position", key
        row = s.get("position", key)
        if row is None or not _is_at(s, key, epoch, before):
            continue
        change(
            s,
            "position",
            key,
            next=after,
            last_ce_id=last,
            holes=row["holes"] + gap,
            applied=row["applied"] + count,
            lease_until=max(row["lease_until"], s.now + lease.total_seconds()),
        )
        kept.append({"topic": topic, "partition": partition})
    return kept


def _is_at(s: Session, key: Key, epoch: int, expected: int) -> bool:
    row = s.get("position", key)
    return row is not None and row["epoch"] == epoch and row["next"] == expected


def claim_inbox(s: Session, sources: Sequence[str], event_ids: Sequence[str], hashes: Sequence[bytes]) -> Waiting:
    rows = (
        ((source, event_id), {"source": source, "event_id": event_id, "hash": body})
        for source, event_id, body in zip(sources, event_ids, hashes, strict=True)
    )
    new = yield from insert_missing(s, "inbox", rows)
    return [pick(row, "source", "event_id") for key in new if (row := s.get("inbox", key))]


def forget_inbox(s: Session, sources: Sequence[str], event_ids: Sequence[str]) -> Waiting:
    for key in zip(sources, event_ids, strict=True):
        if s.get("inbox", key) is not None:
            yield "inbox", key
            s.delete("inbox", key)
    return []


def known_hashes(s: Session, sources: Sequence[str], event_ids: Sequence[str]) -> Rows:
    return [dict(row) for key in zip(sources, event_ids, strict=True) if (row := s.get("inbox", key))]


def recount(
    s: Session, topics: Sequence[str], partitions: Sequence[int], duplicates: Sequence[int], bad: Sequence[int]
) -> Waiting:
    for topic, partition, repeats, poison in zip(topics, partitions, duplicates, bad, strict=True):
        key = (topic, partition)
        yield "position", key
        row = s.get("position", key)
        if row is not None:
            change(
                s,
                "position",
                key,
                applied=row["applied"] - repeats - poison,
                duplicates=row["duplicates"] + repeats,
                quarantined=row["quarantined"] + poison,
            )
    return []


def put_quarantine(s: Session, topics: Sequence[str], *columns: Sequence[Any]) -> Waiting:
    names = ("partition", "record_offset", "source", "event_id", "reason", "key", "value", "headers")
    rows = [
        {"topic": topic, **dict(zip(names, values, strict=True))}
        for topic, *values in zip(topics, *columns, strict=True)
    ]
    wanted = [((row["topic"], row["partition"], row["record_offset"]), row) for row in rows]
    yield from insert_missing(s, "quarantine", wanted)
    return []


def nothing(_: Session, *__: object) -> Rows:
    """NOTIFY: nobody listens here, so whoever waits looks by itself every second."""
    return []


# -- leases.sql --------------------------------------------------------------------------------------------------


def add_partitions(s: Session, topics: Sequence[str], partitions: Sequence[int]) -> Waiting:
    places = sorted(zip(topics, partitions, strict=True))
    rows = [((topic, number), {"topic": topic, "partition": number, **_EMPTY}) for topic, number in places]
    yield from insert_missing(s, "position", rows)
    return []


def renew(s: Session, me: str, lease: timedelta) -> Rows:
    for key, row in sorted(s.items("position")):
        if row["owner"] == me and row["lease_until"] > s.now and s.try_lock("position", key):
            change(s, "position", key, lease_until=s.now + lease.total_seconds())
    return []


def overview(s: Session) -> Rows:
    return [
        {**pick(row, "topic", "partition", "owner", "epoch"), "live": row["lease_until"] > s.now}
        for _, row in sorted(s.items("position"))
    ]


def take(s: Session, me: str, lease: timedelta, topic: str, partition: int, epoch: int) -> Waiting:
    key = (topic, partition)
    row = s.get("position", key)
    if row is None or row["epoch"] != epoch:
        return []
    yield "position", key
    row = s.get("position", key)
    if row is None or row["epoch"] != epoch:
        return []
    change(s, "position", key, owner=me, epoch=epoch + 1, lease_until=s.now + lease.total_seconds())
    return [{"epoch": epoch + 1}]


def short_lock_wait(s: Session) -> Rows:
    s.lock_timeout = 1.0
    return []


def release(s: Session, me: str) -> Waiting:
    for key in [key for key, row in s.items("position") if row["owner"] == me]:
        yield "position", key
        row = s.get("position", key)
        if row is not None and row["owner"] == me:
            change(s, "position", key, owner=None, lease_until=NEVER)
    return []


# -- positions.sql -----------------------------------------------------------------------------------------------


def held_positions(s: Session, topics: Sequence[str], partitions: Sequence[int], epochs: Sequence[int]) -> Rows:
    return [
        pick(row, "topic", "partition", "epoch", "next", "last_ce_id")
        for topic, partition, epoch in zip(topics, partitions, epochs, strict=True)
        if (row := s.get("position", (topic, partition))) and row["epoch"] == epoch
    ]


def start_positions(
    s: Session, topics: Sequence[str], partitions: Sequence[int], epochs: Sequence[int], starts: Sequence[int]
) -> Waiting:
    def begins(key: Key, epoch: int) -> bool:
        row = s.get("position", key)
        return row is not None and row["epoch"] == epoch and row["next"] is None

    wanted = list(zip(zip(topics, partitions, strict=True), epochs, starts, strict=True))
    for key, epoch, start in [one for one in wanted if begins(one[0], one[1])]:
        yield "position", key
        if begins(key, epoch):
            change(s, "position", key, first=start, next=start)
    return []


def skip_to(s: Session, topic: str, partition: int, to: int) -> Waiting:
    key = (topic, partition)

    def is_before() -> bool:
        row = s.get("position", key)
        return row is not None and row["next"] is not None and row["next"] < to

    if not is_before():
        return []
    yield "position", key
    if not is_before():
        return []
    row = s.get("position", key) or {}
    skipped = row["skipped"] + to - row["next"]
    change(
        s,
        "position",
        key,
        skipped=skipped,
        next=to,
        last_ce_id=None,
        epoch=row["epoch"] + 1,
        owner=None,
        lease_until=NEVER,
    )
    return [{"skipped": skipped}]


# -- relay.sql ---------------------------------------------------------------------------------------------------


def next_outbox(s: Session, me: str, epoch: int, limit: int) -> Rows:
    lease = s.get("position", ("#outbox", 0))
    if lease is None or (lease["owner"], lease["epoch"]) != (me, epoch) or lease["lease_until"] <= s.now:
        return []
    return [dict(row) for _, row in sorted(s.items("outbox"))[:limit]]


def forget_sent(
    s: Session,
    me: str,
    epoch: int,
    lease: timedelta,
    ids: Sequence[int],
    topics: Sequence[str],
    partitions: Sequence[int],
    nexts: Sequence[int],
) -> Waiting:
    key = ("#outbox", 0)

    def is_mine() -> bool:
        row = s.get("position", key)
        return row is not None and (row["owner"], row["epoch"]) == (me, epoch)

    if not is_mine():
        return [{"count": 0}]
    yield "position", key
    if not is_mine():
        return [{"count": 0}]
    change(s, "position", key, lease_until=s.now + lease.total_seconds())
    for number in ids:
        if s.get("outbox", number) is not None:
            s.delete("outbox", number)
    for topic, partition, after in zip(topics, partitions, nexts, strict=True):
        known = s.get("relay_position", (topic, partition))
        row = {"topic": topic, "partition": partition, "next": max(after, known["next"] if known else after)}
        s.put("relay_position", (topic, partition), row)
    return [{"count": 1}]


def relay_positions(s: Session) -> Rows:
    return [dict(row) for row in s.rows("relay_position")]


def outbox_topics(s: Session) -> Rows:
    return [{"topic": topic} for topic in sorted({row["topic"] for row in s.rows("outbox")})]


def published_ids(s: Session, ce_ids: Sequence[str]) -> Rows:
    wanted = set(ce_ids)
    return [{"id": row["id"]} for _, row in sorted(s.items("outbox")) if row["ce_id"] in wanted]


_STATEMENTS: dict[str, Statement] = {
    statement.__name__: statement
    for statement in (
        advance,
        claim_inbox,
        forget_inbox,
        known_hashes,
        recount,
        put_quarantine,
        add_partitions,
        renew,
        overview,
        take,
        short_lock_wait,
        release,
        held_positions,
        start_positions,
        skip_to,
        next_outbox,
        forget_sent,
        relay_positions,
        outbox_topics,
        published_ids,
    )
} | {"notify_outbox": nothing, "notify_leases": nothing}

STATEMENTS: dict[str, Statement] = {QUERIES[name]: one for name, one in _STATEMENTS.items()} | {"SELECT 1": nothing}
