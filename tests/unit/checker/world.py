"""A small correct world, told as a history: what clients sent, what three services would have made of it.

It is a model of the promise and shares no code with the product. A test takes a correct one, spoils one thing in it,
writes it down and asks the checker.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5
from zlib import crc32

Json = dict[str, Any]

PARTITIONS = 2
POOL = "everybody"
CAPACITY = 3
READERS = {
    "scoring": ("lead-events",),
    "routing": ("lead-scores", "lead-outcomes"),
    "metrics": ("lead-events", "lead-scores", "lead-assignments", "lead-decisions", "ingest-receipts"),
}
TABLES = (
    *(
        f"{service}.{table}"
        for service in READERS
        for table in ("position", "inbox", "outbox", "quarantine", "relay_position")
    ),
    *("scoring.lead", "scoring.touch", "scoring.identifier", "ingest.spool", "ingest.spool_account"),
    *("routing.lead", "routing.assignment", "routing.decision", "routing.rep", "routing.pool"),
    *("routing.waiting_outcome", "metrics.lead", "metrics.tally", "metrics.counted_outcome", "metrics.answered"),
)
TOPICS = tuple(dict.fromkeys(topic for topics in READERS.values() for topic in topics))
KPIS = (
    *("events", "leads", "visits", "document_requests"),
    *("appointments", "opportunities", "orders_won", "orders_cancelled", "lost"),
)
OF_TYPE = {"page.viewed": "visits", "document.requested": "document_requests", "won": "orders_won", "lost": "lost"}
STAGES = {"won": "won", "lost": "lost", "disqualified": "disqualified", "recycled": "recycled"}


def uuid(*parts: object) -> str:
    """The same id for the same parts."""
    return str(uuid5(UUID(int=7), "/".join(map(str, parts))))


@dataclass
class World:
    """Everything of one run. Tests may change any of it before `write`."""

    answers: list[Json] = field(default_factory=list)
    topics: dict[str, list[Json]] = field(default_factory=lambda: {topic: [] for topic in TOPICS})
    bounds: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    tables: dict[str, list[Json]] = field(default_factory=lambda: {table: [] for table in TABLES})
    samples: list[Json] = field(default_factory=list)
    faults: list[Json] = field(default_factory=list)
    losses: list[Json] | None = None
    metrics: Json = field(default_factory=dict)
    run: Json = field(default_factory=lambda: {"seed": 1, "config": {}})

    def write(self, folder: Path) -> Path:
        """Write the history to `folder`."""
        for name in ("topics", "tables"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for topic, records in self.topics.items():
            _write_lines(folder / f"topics/{topic}.jsonl", records)
            (folder / f"topics/{topic}.bounds.json").write_text(json.dumps(self.bounds[topic]))
        for table, rows in self.tables.items():
            _write_lines(folder / f"tables/{table}.jsonl", rows)
        for name in ("answers", "samples", "faults"):
            _write_lines(folder / f"{name}.jsonl", getattr(self, name))
        if self.losses is not None:
            _write_lines(folder / "losses.jsonl", self.losses)
        for name in ("metrics", "run"):
            (folder / f"{name}.json").write_text(json.dumps(getattr(self, name)))
        return folder

    # -- finding things to spoil ------------------------------------------------------------------------------------

    def row(self, table: str, **values: object) -> Json:
        """The first row of the table with these values."""
        return next(row for row in self.tables[table] if values.items() <= row.items())

    def take(self, table: str, **values: object) -> Json:
        """The same, taken out of the table."""
        row = self.row(table, **values)
        self.tables[table].remove(row)
        return row

    def record(self, topic: str, **values: object) -> Json:
        """The first record of the topic whose value has these values."""
        return next(record for record in self.topics[topic] if values.items() <= record["value"].items())

    def add_record(self, topic: str, like: Json, **changes: object) -> Json:
        """Another record at the end of the partition of `like`, as if every reader had seen a repeat of something."""
        added = {**like, "value": {**like["value"], **changes}, "offset": self._end(topic, like["partition"])}
        added["sha256"] = _sha(added["value"]) if changes else like["sha256"]
        self.topics[topic].append(added)
        self.bounds[topic][str(like["partition"])][1] += 1
        for service, topics in READERS.items():
            if topic in topics:
                position = self.row(f"{service}.position", topic=topic, partition=like["partition"])
                position["next"] += 1
                position["duplicates"] += 1
                position["last_ce_id"] = added["headers"].get("ce_id")
        return added

    def _end(self, topic: str, partition: int) -> int:
        return int(self.bounds[topic][str(partition)][1])


class Story:
    """Lets things happen in a correct world; `told()` is the history of it."""

    def __init__(self, reps: int = 2) -> None:
        self.world = World()
        self._now = datetime(2026, 11, 22, 9, tzinfo=UTC)
        self._leads: dict[str, Json] = {}
        self._by_email: dict[str, str] = {}
        self._seen: dict[tuple[str, str, str], str] = {}
        self._aside: dict[str, set[tuple[str, int, int]]] = defaultdict(set)
        self._reps = {f"rep-{n}": Counter(open=0) for n in range(reps)}
        self._queue: list[str] = []
        self._excluded: dict[str, set[str]] = defaultdict(set)
        self._decisions = 0
        self._ends: Counter[tuple[str, int]] = Counter()

    # -- what clients do ----------------------------------------------------------------------------------------

    def event(
        self, email: str, type_: str = "form.submitted", *, id_: str = "", body: str = "1", suspect: bool = False,
        answered: bool = True, spooled: bool = False,
    ) -> str:  # fmt: skip
        """A client posts an event; the same id again is a repeat, with another body a mistake."""
        id_ = id_ or f"e{len(self.world.answers)}"
        self._answer("event", id_, email, type_, answered)
        digest = blake2b(f"{email} {type_} {body}".encode(), digest_size=16).hexdigest()
        if spooled:
            self.world.tables["ingest.spool_account"].append(
                {"replica": id_, "topic": "lead-events", "spooled": 1, "drained": 1}
            )
        headers = {"ce_source": "web", "ce_id": id_, "ce_bodyhash": digest} | (
            {"ce_suspect": "honeypot"} if suspect else {}
        )
        record = self._put(
            "lead-events",
            email,
            {"event_id": id_, "source": "web", "type": type_, "received_at": self._later(), "body": body},
            headers,
        )
        if self._is_new(record, "lead-events", digest, suspect):
            self._score(email, type_, id_)
        return id_

    def outcome(self, lead: str, type_: str, *, id_: str = "") -> str:
        """A sales tool reports about a lead, known or not yet known."""
        id_ = id_ or f"o{len(self.world.answers)}"
        self._answer("outcome", id_, "", type_, answered=True)
        digest = blake2b(f"{lead} {type_}".encode(), digest_size=16).hexdigest()
        value = {"event_id": id_, "source": "crm", "type": type_, "lead_id": lead}
        record = self._put("lead-outcomes", lead, value, {"ce_source": "crm", "ce_id": id_, "ce_bodyhash": digest})
        if self._is_new(record, "lead-outcomes", digest, suspect=False):
            self._report(lead, type_, id_)
        return id_

    def refused(self) -> None:
        """A client posts what cannot be taken."""
        self._answer(
            "event", f"e{len(self.world.answers)}", "", "no type", answered=False, status=422, result="invalid"
        )

    def repeat(self, topic: str, index: int) -> None:
        """The relay published a record twice."""
        record = self.world.topics[topic][index]
        place = topic, record["partition"]
        self.world.topics[topic].append({**record, "offset": self._ends[place]})
        self._ends[place] += 1

    def receipt(self, process: str, number: int, events: int) -> None:
        """An ingest process says how many it called stored."""
        headers = {"ce_source": "ingest", "ce_id": f"{process}:{number}"}
        value = {"process": process, "number": number, "events": events, "outcomes": 0}
        self._put("ingest-receipts", process, value, headers, partitions=1)

    def lead_id(self, email: str) -> str:
        """The id of the lead that a person is, or will be."""
        return uuid("lead", email)

    def _answer(
        self, kind: str, id_: str, person: str, type_: str, answered: bool, status: int = 202, result: str = "accepted"
    ) -> None:
        told = answered or status != 202
        at = self._clock()
        self.world.answers.append(
            {
                "kind": kind,
                "source": "web" if kind == "event" else "crm",
                "event_id": id_,
                "person": person,
                "type": type_,
                "body": "",
                "sent_at": at,
                "answered_at": at + 0.1 if told else None,
                "status": status if told else None,
                "result": result if told else None,
                "answer_id": id_ if told else None,
            }
        )

    # -- what the services make of it -------------------------------------------------------------------------------

    def _is_new(self, record: Json, topic: str, digest: str, suspect: bool) -> bool:
        place = (topic, record["partition"], record["offset"])
        key = (topic, record["headers"]["ce_source"], record["headers"]["ce_id"])
        if suspect or self._seen.get(key, digest) != digest:
            for service in ("scoring", "metrics") if topic == "lead-events" else ("routing",):
                self._aside[service].add(place)
            return False
        new = key not in self._seen
        self._seen[key] = digest
        return new

    def _score(self, email: str, type_: str, id_: str) -> None:
        lead_id = self._by_email.setdefault(email, self.lead_id(email))
        lead = self._leads.setdefault(lead_id, _new_lead(lead_id))
        lead["scored"] += 1
        lead["qualified"] = lead["qualified"] or (self._later() if type_ == "demo.requested" else None)
        self.world.tables["scoring.touch"].append({"subject": lead_id, "source": "web", "event_id": id_})
        value = {
            "lead_id": lead_id,
            "version": lead["scored"],
            "qualified": lead["qualified"] is not None,
            "qualified_at": lead["qualified"],
            "mode": "live",
        }
        self._publish("lead-scores", lead_id, value, "scoring", f"{lead_id}:{lead['scored']}")
        if lead["state"] == "unknown":
            lead["state"] = "nurturing"
            waiting = [
                row for row in self.world.tables["routing.waiting_outcome"] if row["names"] == [f"lead:{lead_id}"]
            ]
            for row in waiting:
                self.world.tables["routing.waiting_outcome"].remove(row)
                self._apply(lead, row["outcome"], row["event_id"])
        if lead["qualified"] and lead["state"] in ("nurturing", "closed") and lead["acted"] < lead["qualified"]:
            lead["acted"] = lead["qualified"]
            lead["state"] = "pending"
            self._queue.append(lead_id)
        self._drain(("scoring", f"{lead_id}:{lead['scored']}"))

    def _report(self, lead_id: str, type_: str, id_: str) -> None:
        lead = self._leads.get(lead_id)
        if lead is None or lead["state"] == "unknown":
            self._leads.setdefault(lead_id, _new_lead(lead_id))
            self.world.tables["routing.waiting_outcome"].append(
                {"source": "crm", "event_id": id_, "names": [f"lead:{lead_id}"], "outcome": type_}
            )
            self._decide(None, "outcome.waiting", ("crm", id_), outcome=type_)
            return
        self._apply(lead, type_, id_)
        self._drain(("crm", id_))

    def _apply(self, lead: Json, type_: str, id_: str) -> None:
        owner = lead["rep"]
        ends = type_ in STAGES or type_ == "rejected"
        numbered = ends and lead["state"] in ("assigned", "held")
        if ends and type_ != "rejected":
            lead["closed_at"] = lead["acted"] = self._later()
            if lead["lead_id"] in self._queue:
                self._queue.remove(lead["lead_id"])
            lead["state"] = "nurturing" if type_ == "recycled" else "closed"
            lead["stage"], lead["rep"], lead["held_reason"] = STAGES[type_], None, None
        elif type_ == "rejected" and owner:
            lead["state"], lead["rep"] = "pending", None
            self._excluded[lead["lead_id"]].add(owner)
        self._decide(lead, "outcome.applied", ("crm", id_), numbered=numbered, outcome=type_)
        if ends and owner:
            self._end(lead, owner, "revoked" if type_ == "rejected" else "closed")
            if type_ == "rejected":
                self._queue.append(lead["lead_id"])

    def _drain(self, cause: tuple[str, str]) -> None:
        for lead_id in list(self._queue):
            lead = self._leads[lead_id]
            candidates = [self._candidate(rep, lead_id) for rep in self._reps]
            chosen = next((one["rep"] for one in candidates if one["skipped"] is None), None)
            if chosen is None:
                if lead["state"] == "pending":
                    lead["state"], lead["held_reason"] = "held", "all_at_capacity"
                    self._decide(lead, "held", cause, numbered=True, candidates=candidates)
                continue
            self._queue.remove(lead_id)
            self._give(lead, chosen, candidates, cause)

    def _candidate(self, rep: str, lead_id: str) -> Json:
        open_ = self._reps[rep]["open"]
        skipped = "rejected_before" if rep in self._excluded[lead_id] else None
        skipped = skipped or ("at_capacity" if open_ >= CAPACITY else None)
        return {"rep": rep, "open": open_, "capacity": CAPACITY, "skipped": skipped}

    def _give(self, lead: Json, rep: str, candidates: list[Json], cause: tuple[str, str]) -> None:
        released = lead["state"] == "held"
        lead["state"], lead["rep"], lead["held_reason"] = "assigned", rep, None
        lead["epoch"] += 1
        self._reps[rep]["open"] += 1
        if released:
            self._decide(lead, "released", cause, numbered=True, candidates=candidates)
        lead["version"] += 1
        row = {
            "assignment_id": uuid("assignment", lead["lead_id"], lead["epoch"]),
            "lead_id": lead["lead_id"],
            "epoch": lead["epoch"],
            "rep": rep,
            "pool": POOL,
            "status": "active",
            "ended_at": None,
        }
        self.world.tables["routing.assignment"].append(row)
        self._tell(lead, row, "assigned")
        if not released:
            self._decide(lead, "assigned", cause, numbered=True, candidates=candidates, published=False)

    def _end(self, lead: Json, rep: str, status: str) -> None:
        row = self.world.row("routing.assignment", lead_id=lead["lead_id"], status="active")
        row["status"], row["ended_at"] = status, self._later()
        self._reps[rep]["open"] -= 1
        lead["version"] += 1
        self._tell(lead, row, status)

    def _tell(self, lead: Json, row: Json, status: str) -> None:
        names = ("assignment_id", "lead_id", "epoch", "pool")
        value = {name: row[name] for name in names} | {"version": lead["version"], "status": status}
        value["rep"] = {"id": row["rep"]}
        self._publish("lead-assignments", lead["lead_id"], value, "routing", f"{row['assignment_id']}:{status}")

    def _decide(
        self, lead: Json | None, kind: str, cause: tuple[str, str], *, numbered: bool = False, outcome: str = "",
        candidates: list[Json] | None = None, published: bool = True,
    ) -> None:  # fmt: skip
        if lead is not None and published:
            lead["version"] += 1
        if numbered:
            self._decisions += 1
        row: Json = {
            "decision_id": uuid("decision", len(self.world.tables["routing.decision"])),
            "lead_id": lead and lead["lead_id"],
            "version": lead and lead["version"],
            "kind": kind,
            "source": cause[0],
            "event_id": cause[1],
            "pool": POOL if numbered else None,
            "number": self._decisions if numbered else None,
            "rep": lead and lead["rep"],
            "candidates": candidates or [],
        }
        self.world.tables["routing.decision"].append(row)
        if published:
            names = ("decision_id", "lead_id", "version", "kind", "pool", "number")
            told = {name: row[name] for name in names} | ({"outcome": {"type": outcome}} if outcome else {})
            self._publish("lead-decisions", row["lead_id"] or row["decision_id"], told, "routing", row["decision_id"])

    def _publish(self, topic: str, key: str, value: Json, source: str, id_: str) -> None:
        self._put(topic, key, value, {"ce_source": source, "ce_id": id_})

    def _put(self, topic: str, key: str, value: Json, headers: Mapping[str, str], partitions: int = PARTITIONS) -> Json:
        partition = crc32(key.encode()) % partitions
        offset = self._ends[topic, partition]
        self._ends[topic, partition] += 1
        place = {"partition": partition, "offset": offset, "timestamp_ms": 0}
        record = {**place, "key": key, "headers": dict(headers), "sha256": _sha(value), "value": value}
        self.world.topics[topic].append(record)
        return record

    def _clock(self) -> float:
        self._now += timedelta(seconds=1)
        return self._now.timestamp()

    def _later(self) -> str:
        self._clock()
        return self._now.isoformat()

    # -- at rest ------------------------------------------------------------------------------------------------

    def told(self) -> World:
        """The history, once everything is read."""
        world = self.world
        for topic, records in world.topics.items():
            ends = Counter(record["partition"] for record in records)
            count = 1 if topic == "ingest-receipts" else PARTITIONS
            world.bounds[topic] = {str(number): [0, ends[number]] for number in range(count)}
        for service, topics in READERS.items():
            self._read(service, topics)
        self._tables()
        world.samples = self._samples()
        _tell_metrics(world)
        return world

    def _read(self, service: str, topics: tuple[str, ...]) -> None:
        seen: set[tuple[str, str]] = set()
        for topic in topics:
            for number, (_, end) in self.world.bounds[topic].items():
                position = Counter(applied=0, duplicates=0, quarantined=0)
                last = None
                for record in self.world.topics[topic]:
                    if str(record["partition"]) == number:
                        position[self._pass(service, topic, record, seen)] += 1
                        last = record["headers"]["ce_id"]
                row = {"topic": topic, "partition": int(number), "owner": "r1", "epoch": 1, "first": 0, "next": end}
                self.world.tables[f"{service}.position"].append(
                    {**row, "last_ce_id": last, **position, "holes": 0, "skipped": 0}
                )

    def _pass(self, service: str, topic: str, record: Json, seen: set[tuple[str, str]]) -> str:
        place = (topic, record["partition"], record["offset"])
        headers = record["headers"]
        identity = (headers["ce_source"], headers["ce_id"])
        if place in self._aside[service]:
            row = {"topic": topic, "partition": place[1], "record_offset": place[2], "reason": "suspect"}
            self.world.tables[f"{service}.quarantine"].append(row | {"source": identity[0], "event_id": identity[1]})
            return "quarantined"
        if identity in seen:
            return "duplicates"
        seen.add(identity)
        digest = headers.get("ce_bodyhash") or record["sha256"][:32]
        self.world.tables[f"{service}.inbox"].append(
            {"source": identity[0], "event_id": identity[1], "hash": f"\\x{digest}"}
        )
        return "applied"

    def _tables(self) -> None:
        tables = self.world.tables
        for lead_id, lead in self._leads.items():
            if lead["scored"]:
                tables["scoring.lead"].append({"lead_id": lead_id, "version": lead["scored"]})
            names = ("lead_id", "state", "stage", "version", "epoch", "rep", "closed_at", "held_reason")
            row = {name: lead[name] for name in names} | {"score_version": lead["scored"]}
            tables["routing.lead"].append(row | {"qualified_at": lead["qualified"]})
        for email, lead_id in self._by_email.items():
            tables["scoring.identifier"].append({"kind": "email", "value": email, "lead_id": lead_id})
        for rep, counts in self._reps.items():
            tables["routing.rep"].append({"id": rep, "open": counts["open"], "capacity": CAPACITY})
        tables["routing.pool"].append({"name": POOL, "decisions": self._decisions})
        self._metrics_tables()

    def _metrics_tables(self) -> None:
        tables, started, ended = self.world.tables, Counter[str](), Counter[str]()
        for record in _distinct(self.world.topics["lead-assignments"]):
            (started if record["value"]["status"] == "assigned" else ended)[record["value"]["lead_id"]] += 1
        for lead_id, lead in self._leads.items():
            if lead["scored"]:
                counts = {"assignments_started": started[lead_id], "assignments_ended": ended[lead_id]}
                tables["metrics.lead"].append({"lead_id": lead_id, "state": lead["state"], **counts})
        totals = Counter(leads=len(tables["scoring.lead"]))
        fresh = [r for r in self.world.topics["lead-events"] if self._place(r) not in self._aside["metrics"]]
        for record in _distinct(fresh):
            totals.update(["events", *filter(None, [OF_TYPE.get(record["value"]["type"])])])
        for record in _distinct(self.world.topics["lead-decisions"]):
            type_ = record["value"].get("outcome", {}).get("type")
            if record["value"]["kind"] == "outcome.applied" and type_ in OF_TYPE:
                totals[OF_TYPE[type_]] += 1
                tables["metrics.counted_outcome"].append({"decision_id": record["value"]["decision_id"]})
        tables["metrics.tally"] += [{"kpi": kpi, "count": count} for kpi, count in totals.items() if count]
        answered: dict[str, Counter[str]] = defaultdict(Counter)
        for record in _distinct(self.world.topics["ingest-receipts"]):
            answered[record["value"]["process"]].update(events=record["value"]["events"], outcomes=0)
        tables["metrics.answered"] += [{"process": name, **told} for name, told in answered.items()]

    def _place(self, record: Json) -> tuple[str, int, int]:
        return "lead-events", record["partition"], record["offset"]

    def _samples(self) -> list[Json]:
        """Three looks: nothing, half, all."""
        assigned = len(self.world.topics["lead-assignments"])
        places = [
            {"service": service, "topic": row["topic"], "partition": row["partition"], "row": row}
            for service in READERS
            for row in self.world.tables[f"{service}.position"]
        ]
        start = datetime(2026, 11, 22, 9, tzinfo=UTC).timestamp()
        return [
            {
                "at": start + part * 5,
                "positions": [
                    {k: v for k, v in place.items() if k != "row"}
                    | {"epoch": 1, "next": place["row"]["next"] * part // 2, "owner": "r1"}
                    for place in places
                ],
                "lag": dict.fromkeys(READERS, 2 - part),
                "assigned": assigned * part // 2,
            }
            for part in range(3)
        ]


def _new_lead(lead_id: str) -> Json:
    about = {"lead_id": lead_id, "state": "unknown", "stage": "mql", "rep": None, "held_reason": None}
    return about | {"version": 0, "epoch": 0, "scored": 0, "qualified": None, "acted": "", "closed_at": None}


def _tell_metrics(world: World) -> None:
    """What the product would answer."""
    tables = world.tables
    totals = {row["kpi"]: row["count"] for row in tables["metrics.tally"]}
    states = Counter(row["state"] for row in tables["metrics.lead"])
    names = ("nurturing", "pending", "assigned", "held", "merged", "suppressed", "closed")
    active = sum(row["status"] == "active" for row in tables["routing.assignment"])
    published = len(_distinct(world.topics["lead-assignments"]))
    world.metrics = {
        "unaccounted": {"events": 0, "outcomes": 0, "leads": 0, "assignments": 0},
        "ledger": {
            "events": _account(tables["scoring.position"], "lead-events"),
            "outcomes": _account(tables["routing.position"], "lead-outcomes"),
            "leads": {name: states[name] for name in names} | {"total": states.total(), "unaccounted": 0},
            "assignments": {"active": active, "published": published, "unpublished": 0, "unaccounted": 0},
        },
        "kpis": {"total": {kpi: totals.get(kpi, 0) for kpi in KPIS}},
    }


def _account(rows: list[Json], topic: str) -> Json:
    names = ("applied", "duplicates", "quarantined", "skipped")
    told = {name: sum(row[name] for row in rows if row["topic"] == topic) for name in names}
    return told | {"accepted": sum(told.values()), "in_flight": 0, "unaccounted": 0}


def _distinct(records: list[Json]) -> list[Json]:
    return list({(r["headers"]["ce_source"], r["headers"]["ce_id"]): r for r in records}.values())


def _sha(value: Json) -> str:
    return sha256(json.dumps(value).encode()).hexdigest()


def _write_lines(path: Path, lines: list[Json]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
