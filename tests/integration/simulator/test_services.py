"""Scoring and routing do the same on the simulator's tables as on PostgreSQL's: the same batches, the same records."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import pytest

from funnel.clock import Clock
from funnel.postgres import Database, load_queries
from funnel.spine.chunks import Chunk, decode
from funnel.spine.model import AnyHandler
from funnel.spine.transaction import apply
from funnel.telemetry import Totals
from services.routing import store
from services.routing.handlers import RoutingHandler
from services.routing.releaser import HeldReleaser
from services.scoring.handlers import ScoringHandler
from tests.integration.simulator.conftest import FakeGround, Ground, RealGround
from tests.integration.simulator.test_database import begin
from tests.simulator.kafka import Stored
from tests.simulator.plays import Sent
from tests.simulator.routing import RULES, outcomes
from tests.simulator.scoring import SCORER, events
from tests.simulator.world import BEGIN
from tests.support.scoring import Memory, at_minute, event

QUERIES = load_queries("funnel.spine.sql")
Batches = Sequence[Sequence[tuple[str, Sent]]]


class Standing:
    """A clock that stands still."""

    def now(self) -> Any:
        return BEGIN


CLOCK: Clock = Standing()


async def play(database: Database, handler: AnyHandler, batches: Batches) -> None:
    """Apply each batch as the loop would, all of it from partition 0 of its topic."""
    at = dict.fromkeys(handler.decoders, 0)
    for batch in batches:
        chunks = []
        for topic in at:
            records = [
                Stored(topic, 0, at[topic] + index, 0, sent.key, sent.value, sent.headers)
                for index, sent in enumerate(one for where, one in batch if where == topic)
            ]
            items, _ = decode(topic, records, handler.decoders)
            if items:
                chunks.append(Chunk((topic, 0), 1, at[topic], items, 0))
                at[topic] += len(items)
        await apply(database, handler, chunks, CLOCK, notify=True)


async def written(database: Database, topics: Sequence[str]) -> list[Any]:
    """What is to be published, and where the positions are."""
    out = await database.fetch(QUERIES["next_outbox"], "me", 1, 10_000)
    held = await database.fetch(QUERIES["held_positions"], list(topics), [0] * len(topics), [1] * len(topics))
    return [
        *[tuple(row[column] for column in ("id", "topic", "key", "ce_id", "headers", "value")) for row in out],
        *sorted((row["topic"], row["next"], row["last_ce_id"]) for row in held),
    ]


def scoring_batches(random: Random) -> Batches:
    told = [*events(random, 40), *events(random, 3)]  # the last are repeats, or reuse ids
    return [[("lead-events", one) for one in told[at : at + 4]] for at in range(0, len(told), 4)]


def routing_batches(random: Random) -> Batches:
    memory = Memory(SCORER)
    for number in range(30):
        kind = random.choice(("form.submitted", "demo.requested", "page.viewed"))
        one = event(kind, email=f"p{random.randrange(8)}@example.com", event_id=f"e{number}", minute=number)
        memory.apply([one], at_minute(number))
    scores = [
        Sent("scoring", f"{one.lead_id}:{one.version}", msgspec.json.encode(one), "lead.scored", "lead_score.v2")
        for one in memory.published
    ]
    told = [("lead-scores", one) for one in scores]
    told += [("lead-outcomes", one) for one in outcomes(random, 40, sorted(memory.leads))]
    random.shuffle(told)
    return [told[at : at + 5] for at in range(0, len(told), 5)]


async def scoring(ground: Ground, seed: int) -> list[Any]:
    handler, database = ScoringHandler(SCORER), ground.database("scoring")
    await begin(database, ("#outbox", 0), ("lead-events", 0))
    await play(database, handler, scoring_batches(Random(seed)))
    return await written(database, list(handler.decoders))


async def routing(ground: Ground, seed: int) -> list[Any]:
    handler, database = RoutingHandler(RULES), ground.database("routing")
    await begin(database, ("#outbox", 0), ("lead-outcomes", 0), ("lead-scores", 0))
    async with database.transaction() as tx:
        await store.declare(tx, RULES)
    await play(database, handler, routing_batches(Random(seed)))
    releaser = HeldReleaser(database, handler, CLOCK, lambda: None, Totals(), lambda: False)
    for rep, capacity in (("a", 4), ("b", 3), ("c", 0), ("a", 9)):
        async with database.transaction() as tx:
            await store.change_rep(tx, rep, name=None, email=None, capacity=capacity, active=True)
        await releaser.release()
    return await written(database, list(handler.decoders))


@pytest.mark.parametrize("service", [scoring, routing])
def test_both_grounds_write_the_same(service: Any, database_dsn: str) -> None:
    seed = int(os.environ.get("FUNNEL_TEST_SEED", secrets.randbits(32)))
    print(f"FUNNEL_TEST_SEED={seed}")  # noqa: T201 - shown by pytest when the test fails
    fake, real = FakeGround(), RealGround(database_dsn)
    on_fake = fake.run(lambda: service(fake, seed))
    on_real = real.run(lambda: service(real, seed))
    assert len(on_real) > 10
    assert on_fake == on_real
