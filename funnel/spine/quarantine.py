"""The quarantine: records that could not be applied, kept whole, to be looked at and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from funnel.envelope import SUSPECT, unpack_headers
from funnel.errors import FunnelError
from funnel.failpoints import reach
from funnel.kafka.producer import Producer, ProducerRecord, PublishError
from funnel.postgres import Database, load_queries

QUERIES = load_queries("funnel.spine.sql")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One record in quarantine, without its content. `topic` is the logical name."""

    id: int
    topic: str
    partition: int
    record_offset: int
    source: str
    event_id: str
    reason: str
    at: datetime
    replayed_at: datetime | None


@dataclass(frozen=True, slots=True)
class QuarantinedRecord(Quarantined):
    """One record in quarantine with everything that lay in the log."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


async def listing(database: Database, *, replayed: bool = False, limit: int = 100) -> list[Quarantined]:
    """The oldest `limit` records in quarantine; with `replayed` also those already replayed."""
    return [Quarantined(**row) for row in await database.fetch(QUERIES["list_quarantine"], replayed, limit)]


async def show(database: Database, number: int) -> QuarantinedRecord:
    """The record with id `number`. Raises FunnelError when there is none."""
    rows = await database.fetch(QUERIES["show_quarantine"], number)
    if not rows:
        raise FunnelError(f"There is no record {number} in quarantine.")
    return QuarantinedRecord(**{**rows[0], "headers": unpack_headers(rows[0]["headers"])})


async def replay(
    database: Database, producer: Producer, prefix: str, number: int, others: Sequence[Database] = ()
) -> None:
    """Publish the record again as it was, under its old id: applied once however often this is done.

    Only what made it a suspect is left out: it is released. All readers of the topic get it again, so the copies of the
    same record in the quarantines of `others` count as replayed too. Raises FunnelError for an unknown id, PublishError
    when Kafka does not take it.
    """
    record = await show(database, number)
    headers = [(name, value) for name, value in record.headers if name != SUSPECT]
    copy = ProducerRecord(prefix + record.topic, record.key or b"", record.value or b"", headers)
    reach("quarantine.publish.before")
    result = (await producer.publish([copy]))[0]
    if isinstance(result, PublishError):
        raise result
    reach("quarantine.publish.after")
    for one in (database, *others):
        await one.fetch(QUERIES["mark_replayed"], record.topic, record.partition, record.record_offset)
        reach("quarantine.mark.after")
