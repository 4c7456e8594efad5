"""Networks that lose, delay, cut and garble: between the product and the brokers, and between it and Postgres."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from chaos.cluster.proxies import Direction, Kind
from chaos.errors import RowFailed
from chaos.faults import row
from chaos.faults.brokers import EVENTS
from chaos.faults.seen import count, read_all
from chaos.run import Run

_ACCEPTED_SECONDS: Final = 30.0
_DRAINED_SECONDS: Final = 90.0
_SHARE: Final = 0.8
"""Of the connections are bad when everything is bad at once."""


@dataclass(frozen=True, slots=True)
class Toxic:
    """What is done to what goes one way through a proxy; the units are toxiproxy's."""

    says: str
    kind: Kind
    stream: Direction
    attributes: Mapping[str, int] = field(default_factory=dict)


WITHHELD: Final = Toxic("answers disappear", "timeout", "downstream", {"timeout": 0})

EVERY_KIND: Final = (
    Toxic("requests disappear", "timeout", "upstream", {"timeout": 0}),
    WITHHELD,
    Toxic("answers take 5 s", "latency", "downstream", {"latency": 5000, "jitter": 500}),
    Toxic("connections are reset", "reset_peer", "downstream", {"timeout": 300}),
    Toxic("answers drip, 2 KB in a second", "bandwidth", "downstream", {"rate": 2}),
    Toxic("answers come in crumbs", "slicer", "downstream", {"average_size": 16, "size_variation": 8, "delay": 20000}),
    Toxic("connections end after 3 KB of answers", "limit_data", "downstream", {"bytes": 3000}),
    Toxic("connections end after 20 KB of requests", "limit_data", "upstream", {"bytes": 20000}),
)


@row(13, "the acknowledgement of a produce request is lost after the append", needs=("proxies",))
async def lost_acknowledgements(run: Run) -> None:
    """A leader appends, its answers disappear, its connections are cut: nobody knows whether the records are there.

    What was sent again may be on a topic twice, under the same id; every effect happens once, and no answer was false.
    """
    await run.load.reached(0.2)
    for _ in range(int(run.pick(full=5, quick=3, smoke=2))):
        leader = run.chance.choice(list((await run.off(run.brokers.leaders, run.topic(EVENTS))).values()))
        async with run.fault(f"withhold the answers of broker {leader}"), poisoned(run, [f"broker-{leader}"], WITHHELD):
            await run.pause(run.pick(full=20, quick=10, smoke=7))  # a sender gives an answer up after 5 s
            await run.off(run.proxies.down, f"broker-{leader}")
            await run.off(run.proxies.up, f"broker-{leader}")
        await run.progress()
        await run.until(lambda: not count(run, "SELECT count(*) FROM ingest.spool"), _DRAINED_SECONDS, "Kafka is used")
    if not await run.off(_appended_twice, run):
        raise RowFailed("no acknowledgement was lost after the append: nothing was sent a second time")


def _appended_twice(run: Run) -> int:
    """Events that are on the topic more often than their senders sent them."""
    attempts: Counter[tuple[str, str]] = Counter()
    with (run.history.folder / "answers.jsonl").open("rb") as lines:
        attempts.update((one["source"], one["event_id"]) for one in map(json.loads, lines))
    there = Counter(record.identity for held in read_all(run, EVENTS).values() for record in held)
    return sum(times > attempts[identity] for identity, times in there.items())


@row(14, "one-way partitions, 5 s latency, resets, slow drip, truncation: a broker", part="a", needs=("proxies",))
async def bad_network_to_a_broker(run: Run) -> None:
    """One kind after the other between the product and one broker, which stays the leader of a third of everything.

    Events are accepted all the time; after each kind work goes on by itself.
    """
    await run.load.reached(0.1)
    for toxic in EVERY_KIND:
        name = f"broker-{run.chance.choice([broker.number for broker in run.brokers])}"
        await _endure(run, toxic, [name])


@row(14, "one-way partitions, 5 s latency, resets, slow drip, truncation: Postgres", part="b", needs=("proxies",))
async def bad_network_to_postgres(run: Run) -> None:
    """One kind after the other between the product and Postgres, primary and standby alike.

    Events are accepted all the time, into Kafka. A COMMIT whose answer disappeared was applied once; after each kind
    work goes on by itself.
    """
    await run.load.reached(0.1)
    for toxic in EVERY_KIND:
        await _endure(run, toxic, list(run.postgres.proxy_names.values()))


async def _endure(run: Run, toxic: Toxic, names: Sequence[str]) -> None:
    async with run.fault(f"{toxic.says} ({', '.join(names)})"), poisoned(run, names, toxic):
        await run.pause(run.pick(full=20, quick=10, smoke=4))
        moment = time.time()
        await run.until(lambda: run.load.last_accepted_at > moment, _ACCEPTED_SECONDS, "events are still accepted")
        await run.pause(run.pick(full=20, quick=10, smoke=4))
    await run.progress()


@row(14, "one-way partitions, 5 s latency, resets, slow drip, truncation: everywhere at once", part="c",
     needs=("proxies",))  # fmt: skip
async def bad_network_everywhere(run: Run) -> None:
    """Most connections to each broker and to Postgres are bad, each in another way; which way changes all the time.

    Answers may be refusals meanwhile, none of them false; afterwards work goes on by itself.
    """
    await run.load.reached(0.2)
    names = [*run.proxies.named("broker"), *run.postgres.proxy_names.values()]
    async with run.fault("everything between the product and its servers is bad", ", ".join(names)):
        for _ in range(int(run.pick(full=12, quick=6, smoke=3))):
            async with AsyncExitStack() as bad:  # one kind for each: toxiproxy itself dies of many in one connection
                for name, toxic in zip(names, run.chance.sample(EVERY_KIND, len(names)), strict=True):
                    await bad.enter_async_context(poisoned(run, [name], toxic, _SHARE))
                await run.pause(run.pick(full=20, quick=10, smoke=6))
    await run.progress()


@asynccontextmanager
async def poisoned(run: Run, names: Sequence[str], toxic: Toxic, share: float = 1.0) -> AsyncIterator[None]:
    """A toxic in these proxies for the length of a block, for `share` of their connections."""
    made: dict[str, str] = {}
    try:
        for name in names:
            made[name] = await run.off(_poison, run, name, toxic, share)
        yield
    finally:
        for name, one in made.items():
            await run.off(run.proxies.cure, name, one)


def _poison(run: Run, name: str, toxic: Toxic, share: float) -> str:
    return run.proxies.poison(name, toxic.kind, toxic.stream, share, **toxic.attributes)
