"""What the services are given to do, and what must have come of it in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from funnel.envelope import Headers, header
from funnel.spine.chunks import HASH_BYTES
from tests.simulator.kafka import Stored
from tests.simulator.outputs import first_occurrences
from tests.simulator.world import Service, World
from tests.support.toy import Added, Toy

PARTITIONS = 3
BURST_SECONDS = 0.004


class Play(Protocol):
    """A service or two, their input, and the judgement."""

    @property
    def services(self) -> dict[str, Service]: ...

    @property
    def inputs(self) -> Mapping[str, Sequence[str]]:
        """The topics each service reads."""

    def prepare(self, world: World, seconds: float) -> None:
        """Make the topics and tables, and plan what is sent during the first `seconds`."""

    def settled(self, world: World) -> bool:
        """Whether, beyond positions and outboxes, nothing is left to do."""

    def judge(self, world: World) -> None:
        """Compare the tables and topics with what went in."""


@dataclass(frozen=True)
class Sent:
    """One record to send."""

    source: str
    event_id: str
    value: bytes
    kind: str
    dataschema: str | None = None
    key: bytes = b"k"

    @property
    def headers(self) -> Headers:
        pairs = [("ce_id", self.event_id), ("ce_source", self.source), ("ce_type", self.kind)]
        if self.dataschema:
            pairs.append(("ce_dataschema", self.dataschema))
        return [(name, text.encode()) for name, text in pairs]


def send(world: World, topic: str, sent: Sent) -> None:
    """Write a record to any partition: which one says nothing about the lead."""
    place = (topic, world.random.randrange(len(world.log.topics[topic])))
    offset = world.log.append(place, [(sent.key, sent.value, sent.headers)])
    world.trace.add("client", "send", (place, offset, sent.event_id))


def schedule(world: World, topic: str, records: Sequence[Sent], seconds: float) -> None:
    """Send all of it within `seconds`, in bursts, so that replicas meet; now and then twice, as clients do in doubt."""
    bursts = [world.random.random() * seconds for _ in range(len(records) // 4 + 1)]
    for sent in records:
        at = world.random.choice(bursts) + world.random.random() * BURST_SECONDS
        world.later(at, partial(send, world, topic, sent))
        if world.random.random() < 0.15:
            again = at + world.random.random() * 2
            world.later(again, partial(send, world, topic, sent))


def digest(value: bytes) -> bytes:
    return blake2b(value, digest_size=HASH_BYTES).digest()


@dataclass
class Books:
    """The record-by-record account of a service's input, from the log and the inbox alone."""

    applied: dict[tuple[str, str], Stored] = field(default_factory=dict)
    """The record of each event that had its effect."""
    duplicates: int = 0
    refused: set[tuple[str, int, int]] = field(default_factory=set)
    """Topic, partition and offset of what must be in quarantine."""


def balance(
    world: World, service: str, topics: Sequence[str], refuses: Callable[[Stored], bool] = lambda _: False
) -> Books:
    """Make the account and compare it with the tables of the spine."""
    books = Books()
    inbox = world.server.table(service, "inbox")
    for record in (one for topic in topics for log in world.log.topics[topic] for one in log.records()):
        identity = (header(record.headers, "ce_source") or "", header(record.headers, "ce_id") or "")
        row = inbox.get(identity)
        if refuses(record) or (row is not None and row["hash"] != digest(record.value or b"")):
            books.refused.add((record.topic, record.partition, record.offset))
        elif row is None:
            world.violate(f"{service}: {identity} lies in {record.topic} and had no effect")
        elif identity in books.applied:
            books.duplicates += 1
        else:
            books.applied[identity] = record
    quarantined = set(world.server.table(service, "quarantine"))
    if quarantined != books.refused:
        world.violate(f"{service}: quarantine differs at {sorted(map(str, quarantined ^ books.refused))}")
    if inbox.keys() != books.applied.keys():
        world.violate(f"{service}: the inbox knows of {inbox.keys() ^ books.applied.keys()}")
    _compare_counters(world, service, books)
    return books


def _compare_counters(world: World, service: str, books: Books) -> None:
    counted: Counter[str] = Counter()
    for row in world.server.table(service, "position").values():
        topic, number = row["topic"], row["partition"]
        if topic.startswith("#") or row["next"] is None:
            continue
        parts = {name: row[name] for name in ("applied", "duplicates", "quarantined", "holes", "skipped")}
        if sum(parts.values()) != row["next"] - row["first"]:
            world.violate(f"{service}: {topic}/{number} does not add up: {parts}, {row['first']} to {row['next']}")
        counted.update(parts)
    want = {"applied": len(books.applied), "duplicates": books.duplicates, "quarantined": len(books.refused)}
    if any(counted[name] != value for name, value in want.items()):
        world.violate(f"{service}: counted {dict(counted)}, expected {want}")


# -- the toy -----------------------------------------------------------------------------------------------------


class ToyPlay:
    """Numbers are added up per person; every partition has some of everybody's."""

    def __init__(self, lanes: int = 1) -> None:
        self.inputs: Mapping[str, Sequence[str]] = {"toy": ("in",)}
        self.services = {"toy": Service(lambda: Toy(rejects=lambda value: value.note == "reject"), lanes)}

    def prepare(self, world: World, seconds: float) -> None:
        random = world.random
        world.log.create("in", PARTITIONS)
        world.log.create("out", 2)
        records: list[Sent] = []
        for number in range(random.randint(10, 40)):
            body = {"person": f"p{random.randrange(4)}", "number": number}
            records.append(_toy(number, msgspec.json.encode(body)))
            chance = random.random()
            if chance < 0.05:
                records.append(_toy(number, msgspec.json.encode({**body, "number": -number})))  # an id used twice
            elif chance < 0.1:
                records.append(_toy(1000 + number, b"{not json"))
        schedule(world, "in", records, seconds)
        for number in range(random.randint(0, 2)):
            body = {"person": "p0", "number": 0, "note": "reject"}
            sent = _toy(2000 + number, msgspec.json.encode(body))
            world.later(random.random() * seconds, partial(send, world, "in", sent))

    def settled(self, world: World) -> bool:
        return True

    def judge(self, world: World) -> None:
        books = balance(world, "toy", ["in"], lambda record: record.value is None or not _is_good(record.value))
        totals: Counter[str] = Counter()
        versions: Counter[str] = Counter()
        for record in books.applied.values():
            value = msgspec.json.decode(record.value or b"", type=Added)
            totals[value.person] += value.number
            versions[value.person] += 1
        table = {one: row for one, row in world.server.table("toy", "person").items() if row["version"]}
        if {one: row["total"] for one, row in table.items()} != {one: totals[one] for one in versions}:
            world.violate(f"totals are {table}, expected {dict(totals)}")
        published = first_occurrences(world, "out")
        for person in versions:
            told = [msgspec.json.decode(one.value or b"") for one in published.get(person, [])]
            if [one["version"] for one in told] != list(range(1, versions[person] + 1)):
                world.disagree(f"{person}: {versions[person]} versions, published {[one['version'] for one in told]}")
            elif told[-1]["total"] != totals[person]:
                world.disagree(f"{person}: the last total published is {told[-1]}, it is {totals[person]}")


def _toy(number: int, value: bytes) -> Sent:
    return Sent("test", f"e{number}", value, "toy.added")


def _is_good(value: bytes) -> bool:
    try:
        body: Any = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return False
    return bool(body.get("note") != "reject")
