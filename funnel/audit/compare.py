"""The rules of an audit: what must be true of records and rows that were looked at together. Pure.

Whoever calls `judge_records` has read the records first and then, in one snapshot, the positions and the rows. A
record below a position has its effect in that very snapshot, and what is on a topic was committed before it was
published: so none of these doubts can be a matter of time. Only that something is not on a topic can be, see `doubts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from funnel.audit.findings import Doubt, Kind, Place, place_name
from funnel.audit.seen import OWN_TOPICS, Assigned, Scored, Seen

Identity = tuple[str, str]
Reading = tuple[str, str, int]
"""Service, logical topic, partition."""


@dataclass(frozen=True, slots=True)
class AssignmentRow:
    """A row of routing's table of assignments."""

    assignment_id: str
    lead_id: str
    epoch: int
    rep: str
    status: str
    assigned_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Tables:
    """What the tables say of some records, in one snapshot.

    `spans`: which offsets a service has read, from `first` up to, not including, `next`. `inboxes`: by service, the
    hash each of the records' ids has there. `quarantined`: by service, which of the records' places are there.
    `scored` and `taken`: the version of the lead in scoring's table, and the highest of scoring's versions in
    routing's.
    """

    spans: Mapping[Reading, tuple[int, int]] = field(default_factory=dict)
    inboxes: Mapping[str, Mapping[Identity, bytes]] = field(default_factory=dict)
    quarantined: Mapping[str, Set[Place]] = field(default_factory=dict)
    scored: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[str, int] = field(default_factory=dict)
    assignments: Mapping[str, AssignmentRow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeadRow:
    """A row of scoring's table of leads."""

    lead_id: str
    version: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Leads:
    """What the tables say of some leads, in one snapshot, and which of the records they imply were ever on a topic.

    `since`: by topic, from when on the witness of `published` has seen all of it; absent where it always has.
    """

    scores: Sequence[LeadRow]
    assignments: Sequence[AssignmentRow]
    published: Set[Identity]
    since: Mapping[str, datetime] = field(default_factory=dict)


def judge_records(records: Sequence[Seen], tables: Tables, readers: Mapping[str, Collection[str]]) -> list[Doubt]:
    """What does not fit between `records` and `tables`. `readers`: the services that read each topic."""
    found: list[Doubt] = []
    for record in records:
        found += _effects(record, tables, readers.get(record.place[0], ()))
        if isinstance(record.claim, Assigned):
            found += _assignment(record, record.claim, tables)
        elif isinstance(record.claim, Scored):
            found += _score(record, record.claim, tables)
        elif record.broken:
            known_to_nobody = {"lead-scores": Kind.SCORES_AHEAD, "lead-assignments": Kind.ASSIGNMENTS_UNKNOWN}
            found.append(_doubt(known_to_nobody[record.place[0]], record, problem="cannot be read"))
    return found


def _effects(record: Seen, tables: Tables, readers: Collection[str]) -> Iterator[Doubt]:
    topic, partition, offset = record.place
    for service in readers:
        first, reached = tables.spans.get((service, topic, partition), (0, 0))
        if not first <= offset < reached:
            continue
        known = tables.inboxes.get(service, {}).get(record.identity)
        quarantined = record.place in tables.quarantined.get(service, ())
        if known is None and not quarantined:
            yield _doubt(Kind.EFFECTS_LOST, record, reader=service)
        # Outsiders may use an id twice: the second body is then in quarantine. We ourselves never do.
        if known not in (None, record.hash) and (topic in OWN_TOPICS or not quarantined):
            yield _doubt(Kind.IDS_REUSED, record, reader=service)


def _score(record: Seen, claim: Scored, tables: Tables) -> Iterator[Doubt]:
    topic, partition, offset = record.place
    if tables.scored.get(record.lead_id or "", 0) < claim.version:
        yield _doubt(Kind.SCORES_AHEAD, record, version=claim.version)
    first, reached = tables.spans.get(("routing", topic, partition), (0, 0))
    untaken = first <= offset < reached and tables.taken.get(record.lead_id or "", 0) < claim.version
    if untaken and record.place not in tables.quarantined.get("routing", ()):
        yield _doubt(Kind.LEADS_UNTAKEN, record, version=claim.version)


def _assignment(record: Seen, claim: Assigned, tables: Tables) -> Iterator[Doubt]:
    row = tables.assignments.get(claim.assignment_id)
    if row is None:
        yield _doubt(Kind.ASSIGNMENTS_UNKNOWN, record, epoch=claim.epoch)
        return
    pairs = {
        "lead_id": (record.lead_id, row.lead_id),
        "epoch": (claim.epoch, row.epoch),
        "rep": (claim.rep, row.rep),
        # An assignment that has ended has begun: its first record stays true.
        "status": (claim.status, "assigned" if claim.status == "assigned" else row.status),
    }
    if otherwise := [name for name, (told, held) in pairs.items() if told != held]:
        yield _doubt(Kind.ASSIGNMENTS_DIFFER, record, differs=otherwise)


def judge_leads(leads: Leads) -> list[Doubt]:
    """What does not fit between the rows of some leads, and between them and the topics."""
    found: list[Doubt] = []
    for score in leads.scores:
        identity = ("scoring", f"{score.lead_id}:{score.version}")
        if identity not in leads.published and _witnessed(leads, "lead-scores", score.changed_at):
            found.append(Doubt(Kind.SCORES_UNPUBLISHED, identity[1], lead_id=score.lead_id))
    for row in leads.assignments:
        ending = (row.status, row.ended_at) if row.ended_at is not None else None
        for status, at in filter(None, (("assigned", row.assigned_at), ending)):
            identity = ("routing", f"{row.assignment_id}:{status}")
            if identity not in leads.published and _witnessed(leads, "lead-assignments", at):
                found.append(Doubt(Kind.ASSIGNMENTS_UNPUBLISHED, identity[1], lead_id=row.lead_id))
    active = Counter(row.lead_id for row in leads.assignments if row.ended_at is None)
    epochs = Counter((row.lead_id, row.epoch) for row in leads.assignments)
    doubled = {lead_id for lead_id, count in active.items() if count > 1}
    doubled |= {lead_id for (lead_id, _), count in epochs.items() if count > 1}
    return found + [Doubt(Kind.ASSIGNMENTS_DOUBLED, lead_id, lead_id=lead_id) for lead_id in sorted(doubled)]


def _witnessed(leads: Leads, topic: str, at: datetime) -> bool:
    """Whether a record of that time must have been seen, had it been there."""
    since = leads.since.get(topic)
    return since is None or at >= since


def repeats(duplicates: Mapping[int, int]) -> list[Doubt]:
    """A doubt for each repeat on lead-assignments. `duplicates`: by partition, how many its reader counted."""
    return [
        Doubt(Kind.ASSIGNMENTS_REPEATED, f"lead-assignments/{partition} repeat {number}")
        for partition, count in sorted(duplicates.items())
        for number in range(1, count + 1)
    ]


def _doubt(kind: Kind, record: Seen, *, reader: str | None = None, **detail: object) -> Doubt:
    name = place_name(record.place)
    return Doubt(kind, f"{name} for {reader}" if reader else name, record.place, None, detail)
