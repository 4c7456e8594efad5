"""What a service has published, compared with its tables: the answer to a failover that lost the end of the database.

Tables and topics agree as long as Postgres keeps what it committed. A standby that was promoted without the last
transactions, or a backup that was restored, does not: then topics hold records that the tables do not know. Going on
would decide about the same leads again. So on a timeline it has not seen, a service looks first (`assert_agrees`), and
what is unknown is adopted by a person's command (`reconcile`): what was published first, wins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import structlog

from funnel.envelope import header
from funnel.errors import FunnelError
from funnel.kafka.consumer import Consumer, KafkaAway, Partition, Record
from funnel.postgres import Database, Transaction, load_queries
from funnel.settings import Settings
from funnel.spine.chunks import decode
from funnel.spine.model import Decoder, Message

READ_RECORDS = 5000
POLL_SECONDS = 1.0
EXAMPLES = 3

QUERIES = load_queries("funnel.spine.sql")
log = structlog.get_logger(__name__)

Take = Callable[[Partition, Sequence[Record]], Awaitable[None]]


class TailLost(FunnelError):
    """The service's topics hold records that its tables do not know: the end of the database is gone."""


class Published(NamedTuple):
    """A record of our own on one of our topics, named without prefix."""

    topic: str
    record: Record

    @property
    def ce_id(self) -> str:
        return header(self.record.headers, "ce_id") or ""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What was done about records that the tables did not know.

    `adopted` counts them by kind; `notes` tell what a person should look at.
    """

    adopted: Mapping[str, int]
    notes: Sequence[str] = ()


class Adopter(Protocol):
    """A service's part: what its tables know, and how they take in what they do not."""

    @property
    def topics(self) -> Sequence[str]:
        """The topics it alone publishes to."""

    @property
    def decoders(self) -> Mapping[str, Decoder]:
        """The topics it reads."""

    async def unknown(self, tx: Transaction, published: Sequence[Published]) -> list[Published]:
        """Those of `published` that the tables do not know."""

    async def adopt(self, tx: Transaction, published: Sequence[Published], inputs: Sequence[Message[Any]]) -> Adoption:
        """Make the tables know `published` (in the order of each partition, each id once).

        `inputs` are the records that the service will read again. Afterwards reading them leads to what was published,
        and to no other record under an id of one of them.
        """


async def read_on(
    settings: Settings, client: str, topics: Sequence[str], starts: Mapping[Partition, int], take: Take
) -> dict[Partition, int]:
    """Give `take` the records of `topics` from `starts` (else from the first) to their ends; those ends.

    Raises KafkaAway, also while a leader has records that it shows nobody: they may yet become part of the log.
    """
    consumer = Consumer(settings, client)
    await consumer.start()
    try:
        partitions = await consumer.partitions(topics)
        if unshown := await consumer.unshown(partitions):
            raise KafkaAway(f"Kafka has {unshown} records that it does not show: too few copies are in sync.")
        bounds = await consumer.bounds(partitions)
        ends = {partition: end for partition, (_, end) in bounds.items()}
        unread = {p: max(begin, starts.get(p, begin)) for p, (begin, _) in bounds.items()}
        consumer.assign(unread)
        while any(unread[p] < ends[p] for p in unread):
            for partition, records in (await consumer.poll(READ_RECORDS, POLL_SECONDS)).items():
                await take(partition, records)
            unread = {p: await consumer.position(p) for p in unread}
    finally:
        await consumer.stop()
    return ends


async def assert_agrees(settings: Settings, service: str, adopter: Adopter | None, database: Database) -> None:
    """On a timeline that is new to the tables: see that they know all that the service has published.

    `adopter` is None for a service that publishes nothing. Several replicas may ask at once. Raises TailLost when
    something is unknown, and what the clients raise.
    """
    timeline = database.timeline
    known = [row["name"] for row in await database.fetch(QUERIES["known_timeline"])]
    if known == [timeline]:
        return
    if adopter is not None and (unknown := await find_unknown(settings, service, adopter, database)):
        raise TailLost(_refusal(service, adopter, unknown))
    await database.fetch(QUERIES["store_timeline"], timeline)
    log.info("timeline_taken_up", service=service, before=known, now=timeline)


async def find_unknown(settings: Settings, service: str, adopter: Adopter, database: Database) -> list[Published]:
    """The records on the service's topics that its tables do not know, each id once.

    Read from where the relay last noted that all was acknowledged. That note may have been lost too, so it only says
    where to begin; what counts is what each record says.
    """
    rows = await database.fetch(QUERIES["relay_positions"])
    starts = {(row["topic"], row["partition"]): row["next"] for row in rows}
    found: dict[tuple[str, str], Published] = {}

    async def take(partition: Partition, records: Sequence[Record]) -> None:
        ours = [Published(partition[0], one) for one in records if header(one.headers, "ce_source") == service]
        async with database.transaction() as tx:
            for one in await adopter.unknown(tx, ours) if ours else ():
                found.setdefault((one.topic, one.ce_id), one)

    await read_on(settings, f"{service}-reconcile", adopter.topics, starts, take)
    return list(found.values())


async def reconcile(
    settings: Settings, service: str, adopter: Adopter | None, database: Database, *, dry_run: bool
) -> Adoption:
    """Adopt what the tables do not know, in one transaction, and note the timeline. Does nothing where all is known.

    Raises FunnelError when the service is at work, or when something cannot be adopted; nothing is changed then.
    """
    unknown = await find_unknown(settings, service, adopter, database) if adopter is not None else []
    if adopter is not None and unknown:
        inputs = await _inputs(settings, service, adopter, database)
    done = Adoption({})
    try:
        async with database.transaction() as tx:
            if adopter is not None and unknown:
                await _assert_idle(tx, service)
                done = await adopter.adopt(tx, unknown, inputs)
            await tx.execute(QUERIES["store_timeline"], database.timeline)
            if dry_run:
                raise _OnlyTried
    except _OnlyTried:
        pass
    return done


async def note_read(tx: Transaction, messages: Sequence[Message[Any]]) -> None:
    """What these messages lead to is in the tables: when they are read again, they are duplicates."""
    columns = [m.source for m in messages], [m.event_id for m in messages], [m.hash for m in messages]
    await tx.execute(QUERIES["claim_inbox"], *columns)


class _OnlyTried(Exception):
    """Rolls a rehearsal back."""


async def _inputs(settings: Settings, service: str, adopter: Adopter, database: Database) -> list[Message[Any]]:
    """What the service will read again; what it will put into quarantine is left out."""
    rows = await database.fetch(QUERIES["read_positions"])
    starts = {(row["topic"], row["partition"]): row["next"] for row in rows}
    found: list[Message[Any]] = []

    async def take(partition: Partition, records: Sequence[Record]) -> None:
        items, _ = decode(partition[0], records, adopter.decoders)
        found.extend(item for item in items if isinstance(item, Message))

    await read_on(settings, f"{service}-reconcile", list(adopter.decoders), starts, take)
    return found


async def _assert_idle(tx: Transaction, service: str) -> None:
    owners = [row["owner"] for row in await tx.fetch(QUERIES["at_work"])]
    if owners:
        raise FunnelError(
            f"{service} is at work ({', '.join(sorted(owners))}): stop it, wait until its leases have run out "
            "(a few seconds), and ask again."
        )


def _refusal(service: str, adopter: Adopter, unknown: Sequence[Published]) -> str:
    some = ", ".join(one.ce_id for one in unknown[:EXAMPLES])
    return (
        f"Postgres is on another timeline, and {len(unknown)} records that {service} published on "
        f"{' and '.join(adopter.topics)} are not in its tables (such as {some}): the end of the database was lost. "
        "`funnel reconcile` adopts them; until then nothing is read."
    )
