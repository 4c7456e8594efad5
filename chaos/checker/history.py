"""Reading a history directory: what was answered, what is on the topics, what is in the tables, what was sampled.

Files that a rule can do without may be missing. A line that is not what it should be is an error naming file and line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from chaos.checker.product import FIELDS, READERS, REQUIRED, TOPICS

Json = dict[str, Any]

_decode = json.JSONDecoder().raw_decode


class BadHistory(Exception):
    """The history cannot be read; the message names the file and the line."""


class Answer(NamedTuple):
    """What a client was told of one item. `person` is how it named whom the item is about."""

    kind: str
    source: str
    event_id: str | None
    answer_id: str | None
    person: str | None
    status: int | None
    result: str | None
    sent_at: float
    answered_at: float | None


class Record(NamedTuple):
    """One record of a topic. (`source`, `id`) is its identity; `value` has the fields that rules look at.

    `ce_id` is the header, where there is one.
    `is_one`: it has what a record of the topic has to have; else `value` is empty. `body` is equal for records that say
    the same: the hash ingest put on what clients sent, else that of the bytes.
    """

    partition: int
    offset: int
    source: str
    id: str
    key: str | None
    body: str
    sha256: str
    value: Mapping[str, Any]
    is_one: bool
    ce_id: str | None

    @property
    def identity(self) -> str:
        """Source and id as one text."""
        return f"{self.source}\0{self.id}"

    @property
    def place(self) -> str:
        """Where it is, for a message."""
        return f"{self.source}/{self.id} at {self.partition}@{self.offset}"


class Position(NamedTuple):
    """How far a service has read a partition, and what it counted on the way."""

    service: str
    topic: str
    partition: int
    first: int
    next: int
    applied: int
    duplicates: int
    quarantined: int
    holes: int
    skipped: int
    last_ce_id: str | None


class Lead(NamedTuple):
    """A lead as routing has it."""

    lead_id: str
    state: str
    stage: str
    version: int
    score_version: int
    epoch: int
    rep: str | None
    qualified_at: str | None
    closed_at: str | None
    held_reason: str | None


class Assignment(NamedTuple):
    """A row of routing's assignments."""

    assignment_id: str
    lead_id: str
    epoch: int
    rep: str
    pool: str
    status: str
    ended_at: str | None


class Decision(NamedTuple):
    """A row of routing's decisions. `candidates`: each member of the pool as it was before the choice."""

    decision_id: str
    lead_id: str | None
    version: int | None
    kind: str
    source: str
    event_id: str
    pool: str | None
    number: int | None
    rep: str | None
    candidates: list[Json]


class History:
    """One run, read from its directory. Topics and small tables are kept in memory, others are streamed."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise BadHistory(f"{directory} is no directory.")
        self.directory = directory
        self._topics: dict[str, list[Record]] = {}
        self._bounds: dict[str, dict[int, tuple[int, int]]] = {}

    # -- what clients were told, what happened meanwhile --------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether the file `name` is there."""
        return (self.directory / name).is_file()

    def answers(self) -> Iterator[Answer]:
        """What became of each item of each request, as its client saw it."""
        return (Answer(*line) for line in self._picked("answers.jsonl", Answer._fields))

    def samples(self) -> Iterator[Json]:
        """Positions and lag, in order of time."""
        return self._lines("samples.jsonl")

    @cached_property
    def faults(self) -> list[Json]:
        """Injections and heals, in order of time."""
        return sorted(self._lines("faults.jsonl"), key=lambda fault: float(fault["at"]))

    @cached_property
    def losses(self) -> Counter[tuple[str, str, int]] | None:
        """How many records were taken from a service before it read them, per service, topic and partition.

        None when nobody wrote down whether any were.
        """
        if not self.has("losses.jsonl"):
            return None
        return Counter((one["service"], one["topic"], one["partition"]) for one in self._lines("losses.jsonl"))

    @cached_property
    def run(self) -> Json:
        """What was run; empty when nobody wrote it down."""
        return self._object("run.json")

    @cached_property
    def metrics(self) -> Json | None:
        """What the product says of itself; None when nobody asked."""
        return self._object("metrics.json") if self.has("metrics.json") else None

    # -- topics -------------------------------------------------------------------------------------------------

    def has_topic(self, topic: str) -> bool:
        """Whether the topic was written down."""
        return self.has(f"topics/{topic}.jsonl")

    def records(self, topic: str) -> list[Record]:
        """Every record of the topic, in order of partition and offset."""
        if topic not in self._topics:
            name = self._needed(f"topics/{topic}.jsonl")
            found = [self._at(name, number, _record, topic, line) for number, line in self._numbered(name)]
            self._topics[topic] = sorted(found, key=lambda record: record[:2])
        return self._topics[topic]

    def told(self, topic: str) -> list[Record]:
        """Those of them that are what the topic is for."""
        return [record for record in self.records(topic) if record.is_one]

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Per partition the first offset still in the log, and the one after the last record."""
        if topic not in self._bounds:
            told = self._object(f"topics/{topic}.bounds.json")
            self._bounds[topic] = {int(number): (low, high) for number, (low, high) in told.items()}
        return self._bounds[topic]

    def is_whole(self, topic: str) -> bool:
        """Whether the log still holds its beginning; else some records are only known by their effects."""
        return all(low == 0 for low, _ in self.bounds(topic).values())

    # -- tables -------------------------------------------------------------------------------------------------

    def has_table(self, table: str) -> bool:
        """Whether the table was written down, be it empty."""
        return self.has(f"tables/{table}.jsonl")

    def rows(self, table: str, *columns: str) -> Iterator[Any]:
        """These columns of each row of a table, given as schema.table; a tuple, or the value of a single column."""
        return self._picked(self._needed(f"tables/{table}.jsonl"), columns)

    @cached_property
    def positions(self) -> dict[tuple[str, str], dict[int, Position]]:
        """The positions by service and topic, and by partition. A partition nobody has begun is missing."""
        found: dict[tuple[str, str], dict[int, Position]] = {
            (service, topic): {} for service, topics in READERS.items() for topic in topics
        }
        for service in READERS:
            for row in self.rows(f"{service}.position", *Position._fields[1:]):
                position = Position(service, *row)
                if not position.topic.startswith("#") and position.next is not None:
                    found.setdefault((service, position.topic), {})[position.partition] = position
        return found

    def next_offset(self, service: str, topic: str, partition: int) -> int:
        """The offset of the next record the service will read; 0 where it has not begun."""
        position = self.positions[service, topic].get(partition)
        return position.next if position else 0

    def read_by(self, service: str, topic: str) -> Iterator[Record]:
        """The records of the topic that the service has passed."""
        ends = {number: position.next for number, position in self.positions[service, topic].items()}
        return (record for record in self.records(topic) if record.offset < ends.get(record.partition, 0))

    def applied_by(self, service: str, topic: str) -> Iterator[Record]:
        """Those of them that the service had to apply: it put the others into quarantine."""
        aside = self.quarantine[service]
        records = self.read_by(service, topic)
        return (r for r in records if r.is_one and (topic, r.partition, r.offset) not in aside)

    @cached_property
    def quarantine(self) -> dict[str, set[tuple[str, int, int]]]:
        """Per service the topic, partition and offset of the records put aside."""
        columns = ("topic", "partition", "record_offset")
        return {service: set(self.rows(f"{service}.quarantine", *columns)) for service in READERS}

    def put_aside(self, service: str) -> set[str]:
        """The identities of the records in the service's quarantine."""
        return {f"{source}\0{id_}" for source, id_ in self.rows(f"{service}.quarantine", "source", "event_id")}

    @cached_property
    def outbox(self) -> dict[str, dict[str, Json]]:
        """Per topic the records that were committed and wait to be published: ce_id -> value."""
        found: dict[str, dict[str, Json]] = {topic: {} for topic in TOPICS}
        for service in READERS:
            for topic, ce_id, value in self.rows(f"{service}.outbox", "topic", "ce_id", "value"):
                found.setdefault(topic, {})[ce_id] = _unhexed(value)
        return found

    @cached_property
    def spool(self) -> dict[str, list[str]]:
        """Per topic the identities of records that were answered with 202 and wait for Kafka."""
        found: dict[str, list[str]] = {}
        for topic, packed in self.rows("ingest.spool", "topic", "value"):
            value = _unhexed(packed)
            found.setdefault(topic, []).append(f"{value.get('source')}\0{value.get('event_id')}")
        return found

    def inbox(self, service: str) -> dict[str, str]:
        """The identities of what the service applied, with the hash of each body. Large: not kept."""
        rows = self.rows(f"{service}.inbox", "source", "event_id", "hash")
        return {f"{source}\0{event_id}": digest[2:] for source, event_id, digest in rows}

    @cached_property
    def leads(self) -> dict[str, Lead]:
        """Routing's leads by id."""
        return {row[0]: Lead(*row) for row in self.rows("routing.lead", *Lead._fields)}

    @cached_property
    def assignments(self) -> list[Assignment]:
        """Every row of routing's assignments."""
        return [Assignment(*row) for row in self.rows("routing.assignment", *Assignment._fields)]

    @cached_property
    def decisions(self) -> list[Decision]:
        """Every row of routing's decisions."""
        return [Decision(*row) for row in self.rows("routing.decision", *Decision._fields)]

    @cached_property
    def score_versions(self) -> dict[str, int]:
        """The version of each lead in scoring."""
        return dict(self.rows("scoring.lead", "lead_id", "version"))

    # -- files --------------------------------------------------------------------------------------------------

    def _needed(self, name: str) -> str:
        """The name of a file without which there is no verdict. Raises BadHistory when it is missing."""
        if not self.has(name):
            raise BadHistory(f"{self.directory / name} is missing: topics and tables were not collected.")
        return name

    def _numbered(self, name: str) -> Iterator[tuple[int, Json]]:
        path = self.directory / name
        if not path.is_file():
            return
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    found, end = _decode(line)
                except ValueError as error:
                    raise BadHistory(f"{path}, line {number}: not JSON ({error}).") from None
                if not isinstance(found, dict) or line[end:].strip():
                    raise BadHistory(f"{path}, line {number}: not one object.")
                yield number, found

    def _picked(self, name: str, members: Sequence[str]) -> Iterator[Any]:
        """These members of each line; a tuple, or the value of a single one."""
        pick = itemgetter(*members)
        for number, line in self._numbered(name):
            try:
                yield pick(line)
            except KeyError as missing:
                raise BadHistory(f"{self.directory / name}, line {number}: there is no {missing}.") from None

    def _lines(self, name: str) -> Iterator[Json]:
        return (line for _, line in self._numbered(name))

    def _object(self, name: str) -> Json:
        path = self.directory / name
        if not path.is_file():
            return {}
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise BadHistory(f"{path}: not JSON ({error}).") from None
        if not isinstance(found, dict):
            raise BadHistory(f"{path}: not an object.")
        return found

    def _at(self, name: str, number: int, make: Callable[[str, Json], Record], topic: str, line: Json) -> Record:
        try:
            return make(topic, line)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadHistory(f"{self.directory / name}, line {number}: {type(error).__name__}: {error}.") from None


def _record(topic: str, line: Json) -> Record:
    headers, value = line["headers"], line["value"] or {}
    source, id_ = headers.get("ce_source"), headers.get("ce_id")
    if source is None or id_ is None:
        source = value.get("source") or f"kafka:{topic}"
        id_ = value.get("event_id") or f"{topic}/{line['partition']}/{line['offset']}"
    is_one = all(isinstance(value.get(name), type_) for name, type_ in REQUIRED[topic].items())
    kept = {name: value[name] for name in FIELDS[topic] if is_one and name in value}
    body = headers.get("ce_bodyhash") or line["sha256"]
    return Record(
        line["partition"],
        line["offset"],
        intern(source),
        id_,
        line["key"],
        body,
        line["sha256"],
        kept,
        is_one,
        headers.get("ce_id"),
    )


def _unhexed(value: str) -> Json:
    """The JSON in a column of bytes, which are written as \\x and hexadecimal digits; empty when it is none."""
    try:
        found = json.loads(bytes.fromhex(value.removeprefix("\\x")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
