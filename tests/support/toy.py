"""A toy service on the real spine: adds up numbers per person and publishes every new total."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from funnel.envelope import outgoing
from funnel.errors import Poison
from funnel.postgres import Transaction
from funnel.runtime import Spine, spine
from funnel.settings import Settings
from funnel.spine import Decoder, Message, Outgoing, Rejected

TABLES = """
CREATE TABLE toy.person (id text PRIMARY KEY, total bigint NOT NULL DEFAULT 0, version bigint NOT NULL DEFAULT 0,
    note text NOT NULL DEFAULT '')
"""

INSERT = "INSERT INTO person (id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
LOCK = "SELECT FROM person WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE"
LOAD = "SELECT id, total, version, note FROM person WHERE id = ANY($1::text[])"
SAVE = """
UPDATE person SET total = n.total, version = n.version, note = n.note
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS n (id, total, version, note)
WHERE person.id = n.id
"""


class Added(msgspec.Struct):
    """What comes in. `note` is written to a text column as it is."""

    person: str
    number: int
    note: str = ""


class Total(msgspec.Struct):
    """What goes out."""

    person: str
    version: int
    total: int


@dataclass(frozen=True)
class ToyDecision:
    """New (total, version, note) per person."""

    people: Mapping[str, tuple[int, int, str]]
    outgoing: Sequence[Outgoing]
    rejected: Sequence[Rejected[Added]]


_decoder = msgspec.json.Decoder(Added)


def read(value: bytes, _: str | None) -> Added:
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison(str(error)) from error


async def nothing(_: Transaction) -> None:
    """The default for `Toy.before_save`."""


@dataclass
class Toy:
    """The handler. Tests replace `before_save` to wait inside the transaction, and `on_decide` to fail there."""

    name: str = "toy"
    decoders: Mapping[str, Decoder] = field(default_factory=lambda: {"in": read})
    before_save: Callable[[Transaction], Any] = nothing
    on_decide: Callable[[Sequence[Message[Added]]], None] = lambda _: None
    rejects: Callable[[Added], bool] = lambda _: False
    statements: int = 0

    async def lock(self, tx: Transaction, messages: Sequence[Message[Added]]) -> list[str]:
        people = sorted({m.value.person for m in messages})
        await tx.execute(INSERT, people)
        await tx.execute(LOCK, people)
        return people

    async def load(self, tx: Transaction, keys: list[str]) -> dict[str, tuple[int, int, str]]:
        rows = await tx.fetch(LOAD, keys)
        return {row["id"]: (row["total"], row["version"], row["note"]) for row in rows}

    def decide(
        self, state: dict[str, tuple[int, int, str]], messages: Sequence[Message[Added]], now: datetime
    ) -> ToyDecision:
        self.on_decide(messages)
        people = dict(state)
        out: list[Outgoing] = []
        rejected = [Rejected(m, "the toy does not like it") for m in messages if self.rejects(m.value)]
        for message in messages:
            if self.rejects(message.value):
                continue
            value = message.value
            total, version, _ = people[value.person]
            people[value.person] = (total + value.number, version + 1, value.note)
            out.append(_published(value.person, *people[value.person][:2], now))
        return ToyDecision(people, out, rejected)

    async def save(self, tx: Transaction, decision: ToyDecision) -> None:
        await self.before_save(tx)
        people = sorted(decision.people)
        await tx.execute(
            SAVE,
            people,
            [decision.people[p][0] for p in people],
            [decision.people[p][1] for p in people],
            [decision.people[p][2] for p in people],
        )


def _published(person: str, total: int, version: int, now: datetime) -> Outgoing:
    return outgoing(
        "out",
        Total(person, version, total),
        key=person,
        ce_id=f"{person}:{version}",
        ce_type="toy.total",
        ce_source="toy",
        at=now,
        subject=person,
        dataschema="total.v1",
    )


@asynccontextmanager
async def running(settings: Settings, handler: Toy, **options: Any) -> AsyncIterator[Spine]:
    """The toy service at work until the block ends; raises what a worker raised."""
    stop = asyncio.Event()
    async with spine(settings, handler, **{"lanes": 2, **options}) as opened:
        tasks = [asyncio.create_task(worker.run(stop), name=worker.name) for worker in opened.workers]
        try:
            yield opened
        finally:
            stop.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def crash(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks without any clean-up of theirs, as kill -9 would as far as others can see."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
