"""Transactions that meet on the real database, as replicas do when one person's events lie on two partitions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from funnel.contracts import LeadEvent
from funnel.envelope import Headers
from funnel.postgres import Database, Transaction
from funnel.spine import Message
from services.scoring.handlers import ScoringHandler
from tests.support import eventually
from tests.support.scoring import DAY, default_scorer, event

HANDLER = ScoringHandler(default_scorer())


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_dsn, schema="scoring", application_name="test", size=8)
    yield opened
    await opened.close()


@dataclass(frozen=True)
class Nowhere:
    """The place of a record that no broker holds."""

    topic: str = "lead-events"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = b""
    headers: Headers = ()


def messages(events: Sequence[LeadEvent]) -> list[Message[LeadEvent]]:
    return [Message(one.source, one.event_id, one.type, "lead-events", one, b"", Nowhere()) for one in events]


async def work(tx: Transaction, events: Sequence[LeadEvent]) -> None:
    """What the spine has the handler do within its transaction."""
    batch = messages(events)
    known = await HANDLER.load(tx, await HANDLER.lock(tx, batch))
    await HANDLER.save(tx, HANDLER.decide(known, batch, DAY))


async def transact(database: Database, events: Sequence[LeadEvent]) -> None:
    async with database.transaction() as tx:
        await work(tx, events)


async def leads(database: Database) -> list[tuple[int, int, int]]:
    """(version, score, number of identifiers) of every lead."""
    async with database.transaction() as tx:
        rows = await tx.fetch(
            "SELECT version, score, count(*) AS known FROM lead JOIN identifier USING (lead_id) GROUP BY lead.lead_id"
        )
    return [(row["version"], row["score"], row["known"]) for row in rows]


async def somebody_waits_for_a_lock(database: Database) -> bool:
    async with database.transaction() as tx:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(await tx.fetch_value(waiting))


async def second_while_first_is_open(
    database: Database, first: Sequence[LeadEvent], second: Sequence[LeadEvent]
) -> None:
    """Run `second` against `first`: it must begin, and wait, once `first` has read all it will decide by."""
    async with database.transaction() as tx:
        batch = messages(first)
        known = await HANDLER.load(tx, await HANDLER.lock(tx, batch))
        other = asyncio.create_task(transact(database, second))
        await eventually(lambda: somebody_waits_for_a_lock(database))
        assert not other.done()
        await HANDLER.save(tx, HANDLER.decide(known, batch, DAY))
    await other


async def test_two_replicas_that_meet_a_new_person_at_once_make_one_lead(database: Database) -> None:
    await second_while_first_is_open(
        database,
        [event("form.submitted", email="a@example.com")],
        [event("document.requested", email="A@example.com", phone="03-1234-5678")],
    )

    assert await leads(database) == [(2, 80, 2)]


async def test_the_same_race_the_other_way_round_makes_one_lead(database: Database) -> None:
    await second_while_first_is_open(
        database,
        [event("form.submitted", email="a@example.com", phone="03-1234-5678")],
        [event("document.requested", phone="03-1234-5678")],
    )

    assert await leads(database) == [(2, 80, 2)]


async def test_a_visit_that_commits_just_before_the_form_counts_for_the_lead(database: Database) -> None:
    await second_while_first_is_open(
        database, [event(visitor="v")], [event("form.submitted", email="a@example.com", visitor="v")]
    )

    assert await leads(database) == [(1, 51, 2)]


async def test_a_visit_that_waits_for_the_form_goes_to_the_lead(database: Database) -> None:
    await second_while_first_is_open(
        database, [event("form.submitted", email="a@example.com", visitor="v")], [event(visitor="v")]
    )

    assert await leads(database) == [(2, 51, 2)]


async def test_a_visit_of_a_known_visitor_waits_for_the_form_that_identifies_it(database: Database) -> None:
    await transact(database, [event(visitor="v")])

    await second_while_first_is_open(
        database, [event("form.submitted", email="a@example.com", visitor="v")], [event(visitor="v")]
    )

    assert await leads(database) == [(2, 52, 2)]


async def test_events_of_a_known_lead_through_different_identifiers_wait_for_each_other(database: Database) -> None:
    await transact(database, [event(email="a@example.com", phone="03-1234-5678")])

    await second_while_first_is_open(
        database, [event(email="a@example.com")], [event("form.submitted", phone="03-1234-5678")]
    )

    assert await leads(database) == [(3, 52, 2)]


async def test_transactions_that_share_many_people_never_deadlock(database: Database) -> None:
    order = random.Random(7)
    people = [(f"p{n}@example.com", f"v{n}") for n in range(40)]

    def batch() -> list[LeadEvent]:
        chosen = order.sample(people, 20)
        return [
            event(email=mail if order.random() < 0.6 else None, visitor=cookie if order.random() < 0.8 else None)
            for mail, cookie in chosen
        ]

    batches = [[one for one in batch() if one.identity.email or one.identity.visitor_id] for _ in range(60)]
    slots = asyncio.Semaphore(8)

    async def limited(events: Sequence[LeadEvent]) -> None:
        async with slots:
            await transact(database, events)

    await asyncio.gather(*map(limited, batches))

    async with database.transaction() as tx:
        kept = await tx.fetch_value("SELECT count(*) FROM touch")
        shared = await tx.fetch_value("SELECT count(*) - count(DISTINCT lead_id) FROM identifier WHERE kind = 'email'")
    assert kept == sum(map(len, batches))
    assert shared == 0


class Counting:
    """A transaction that counts its statements."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.statements = 0

    def __getattr__(self, name: str) -> object:
        self.statements += 1
        return getattr(self._tx, name)


async def test_the_number_of_statements_does_not_grow_with_the_batch(database: Database) -> None:
    async def statements(size: int) -> int:
        visits = [event(visitor=f"{size}-{n}") for n in range(size)]
        known = [event(email=f"{size}-{n}@known.example.com") for n in range(size)]
        await transact(database, [*visits, *known])
        forms = [event("form.submitted", email=f"{size}-{n}@example.com", visitor=f"{size}-{n}") for n in range(size)]
        again = [event(email=f"{size}-{n}@known.example.com") for n in range(size)]
        async with database.transaction() as tx:
            counting = Counting(tx)
            await work(counting, [*forms, *again])  # type: ignore[arg-type]
        return counting.statements

    assert await statements(1) == await statements(200) == 7
