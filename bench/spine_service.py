"""The least a service can do on the spine: read an event, keep state per person, write one result per person.

`python -m bench.spine_service` runs it like any service; the arm `spine` measures it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import msgspec

from funnel import runtime
from funnel.envelope import outgoing
from funnel.http import create_app
from funnel.postgres import Transaction
from funnel.runtime import Application
from funnel.settings import Settings
from funnel.spine import Decoder, Message, Outgoing, Rejected

NAME = "service"
EVENTS, RESULTS = "in", "out"

TABLES = """
CREATE TABLE service.person (
    id        text PRIMARY KEY,
    applied   integer NOT NULL DEFAULT 0,
    last      integer NOT NULL DEFAULT 0,
    disorder  integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50)
"""

_LOCK = "INSERT INTO person (id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
_LOCKED = "SELECT FROM person WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE"
_LOAD = "SELECT id, applied, last, disorder FROM person WHERE id = ANY ($1::text[])"
_SAVE = """
UPDATE person SET applied = new.applied, last = new.last, disorder = new.disorder
FROM unnest($1::text[], $2::integer[], $3::integer[], $4::integer[]) AS new (id, applied, last, disorder)
WHERE person.id = new.id
"""


class Event(msgspec.Struct, frozen=True, gc=False):
    """The `n`th event of a person, counted from 1."""

    person: str
    n: int


class Result(msgspec.Struct, frozen=True, gc=False):
    """How many events of a person were applied, which was the last, and how often one was not the next."""

    person: str
    applied: int
    last: int
    disorder: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The new state of every person of the batch."""

    people: Sequence[Result]
    outgoing: Sequence[Outgoing]
    rejected: Sequence[Rejected[Event]] = ()


_decoder = msgspec.json.Decoder(Event)


def _decode(value: bytes, _: str | None) -> Event:
    return _decoder.decode(value)


class CountingHandler:
    """Locks: people, by id."""

    name = NAME
    decoders: Mapping[str, Decoder] = {EVENTS: _decode}

    async def lock(self, tx: Transaction, messages: Sequence[Message[Event]]) -> list[str]:
        people = sorted({message.value.person for message in messages})
        await tx.execute(_LOCK, people)
        await tx.execute(_LOCKED, people)
        return people

    async def load(self, tx: Transaction, keys: list[str]) -> dict[str, Result]:
        return {
            row["id"]: Result(row["id"], row["applied"], row["last"], row["disorder"])
            for row in await tx.fetch(_LOAD, keys)
        }

    def decide(self, state: Mapping[str, Result], messages: Sequence[Message[Event]], now: datetime) -> Decision:
        people = dict(state)
        for message in messages:
            event = message.value
            people[event.person] = _after(people[event.person], event)
        return Decision(list(people.values()), [_published(one, now) for one in people.values()])

    async def save(self, tx: Transaction, decision: Decision) -> None:
        people = decision.people
        await tx.execute(
            _SAVE,
            [one.person for one in people],
            [one.applied for one in people],
            [one.last for one in people],
            [one.disorder for one in people],
        )


def _after(known: Result, event: Event) -> Result:
    expected = event.n == known.last + 1
    return Result(known.person, known.applied + 1, event.n, known.disorder + (not expected))


def _published(result: Result, now: datetime) -> Outgoing:
    return outgoing(
        RESULTS,
        result,
        key=result.person,
        ce_id=f"{result.person}:{result.applied}",
        ce_type="bench.counted",
        ce_source=NAME,
        at=now,
        subject=result.person,
        dataschema="bench_counted.v1",
    )


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[Application]:
    """The service; it answers on the port of scoring, in whose place it stands."""
    async with runtime.spine(settings, CountingHandler(), lanes=2) as spine:
        http = create_app("Bare spine", ready=spine.ready)
        yield Application(NAME, http, spine.workers, settings.host, settings.scoring_port)


if __name__ == "__main__":
    runtime.run(build)
