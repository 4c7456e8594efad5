"""What came of the journeys, judged from what was posted and from what the public topics and the ledger say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from funnel.contracts import LeadAssignment, LeadDecision, LeadScore
from funnel.demo.people import Person

Ledger = Mapping[str, Mapping[str, int]]
"""What `GET /v1/ledger` answers."""


@dataclass(frozen=True, slots=True)
class Count:
    """How often something was posted: 202 answers, attempts that may have been stored unanswered, different ids."""

    answered: int
    unknown: int
    ids: int


@dataclass(frozen=True, slots=True)
class Posted:
    """What ingest vouched for."""

    people: Sequence[Person]
    events: Count
    outcomes: Count


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything read so far: the topics in log order, the ledger, and whom each way of asking leads to.

    `found` has a lead id (or None) per person for each identifier they posted, by the person's number.
    """

    scores: Mapping[str, LeadScore]
    assignments: Sequence[LeadAssignment]
    decisions: Sequence[LeadDecision]
    ledger: Ledger
    found: Mapping[int, Mapping[str, str | None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lead is. `state` is the ledger's word; `rep` is set while assigned; `handovers` counts its epochs."""

    person: Person
    lead_id: str
    state: str
    stage: str
    score: int
    grade: str | None
    pool: str | None
    rep: str | None
    reason: str | None
    handovers: int
    why_score: str
    """The strongest reason for the score."""


def is_quiet(posted: Posted, ledger: Ledger) -> bool:
    """Whether everything posted was read, decided and published."""
    return (
        all(
            ledger[part]["accepted"] >= count.answered and ledger[part]["in_flight"] == 0
            for part, count in (("events", posted.events), ("outcomes", posted.outcomes))
        )
        and ledger["leads"]["pending"] == 0
        and ledger["assignments"]["unpublished"] == 0
    )


def judge(posted: Posted, observed: Observed) -> list[str]:
    """Everything that is not as promised, one sentence each; empty when all is well."""
    return [
        *_people(posted, observed),
        *_assignments(observed.assignments),
        *_leads(posted, observed),
        *_ledger(posted, observed),
    ]


def places(posted: Posted, observed: Observed) -> list[Place]:
    """Where the lead of each known person is, in the order of the people."""
    owned = _by_lead(observed.assignments)
    decided = _by_lead(observed.decisions)
    return [
        _place(person, observed.scores[lead], owned.get(lead, []), decided.get(lead, []))
        for person in posted.people
        if (lead := _lead_of(observed, person)) is not None and lead in observed.scores
    ]


def active(assignments: Iterable[LeadAssignment]) -> dict[str, LeadAssignment]:
    """The assignment that each lead has now, by lead id."""
    owned: dict[str, LeadAssignment] = {}
    for record in assignments:
        if record.status == "assigned":
            owned[record.lead_id] = record
        else:
            owned.pop(record.lead_id, None)
    return owned


def _people(posted: Posted, observed: Observed) -> Iterator[str]:
    """Each person is one lead, whichever way they wrote themselves, and there are no others."""
    owners: dict[str, Person] = {}
    for person in posted.people:
        leads = set(observed.found[person.number].values())
        if None in leads:
            missing = [text for text, lead in observed.found[person.number].items() if lead is None]
            yield f"unaccounted: {person.name} posted as {missing[0].strip()}, but no lead is known by it"
        elif len(leads) > 1:
            yield f"counted twice: {person.name} is {len(leads)} leads"
        for lead in leads - {None}:
            other = owners.setdefault(str(lead), person)
            if other is not person:
                yield f"mixed up: {person.name} and {other.name} are one lead"
    extra = len(observed.scores.keys() - owners.keys())
    if extra:
        yield f"unaccounted: {extra} leads on lead-scores belong to nobody who posted"


def _assignments(records: Sequence[LeadAssignment]) -> Iterator[str]:
    """Per lead: assigned (e), revoked or closed (e, same id), assigned (e + 1), and nothing twice."""
    for identity, times in Counter((r.assignment_id, r.status) for r in records).items():
        if times > 1:
            yield f"published twice: assignment {identity[0]} {identity[1]}"
    for lead, history in _by_lead(records).items():
        before: LeadAssignment | None = None
        for record in history:
            yield from _step(lead, before, record)
            before = record


def _step(lead: str, before: LeadAssignment | None, record: LeadAssignment) -> Iterator[str]:
    held = before is not None and before.status == "assigned"
    if record.status == "assigned":
        if held:
            yield f"assigned twice: lead {lead} to {record.rep.id} while {before.rep.id if before else ''} has it"
        if record.epoch != (before.epoch if before else 0) + 1:
            yield f"wrong order: lead {lead} is assigned in epoch {record.epoch} after {before and before.epoch}"
    elif before is None or not held or before.assignment_id != record.assignment_id:
        yield f"wrong order: lead {lead} is {record.status} without having been assigned"


def _leads(posted: Posted, observed: Observed) -> Iterator[str]:
    """A qualified lead is assigned, or held with a reason, or closed; another is with nobody."""
    for place in places(posted, observed):
        qualified = observed.scores[place.lead_id].qualified
        who = f"{place.person.name} ({place.lead_id})"
        if qualified and place.state == "held" and not place.reason:
            yield f"held without a reason: {who}"
        elif qualified and place.state not in ("assigned", "held", "closed"):
            yield f"unassigned without a reason: {who} is qualified, but {place.state}"
        elif not qualified and place.state != "nurturing":
            yield f"assigned too early: {who} is {place.state}, but not qualified"


def _ledger(posted: Posted, observed: Observed) -> Iterator[str]:
    """The ledger counts what was posted, and agrees with the topics."""
    ledger = observed.ledger
    states = Counter(place.state for place in places(posted, observed))
    expected = {
        ("events", "applied"): posted.events.ids,
        ("outcomes", "applied"): posted.outcomes.ids,
        ("leads", "total"): len(posted.people),
        **{("leads", state): states[state] for state in ("nurturing", "assigned", "held", "closed")},
        ("leads", "pending"): 0,
        ("assignments", "active"): len(active(observed.assignments)),
        ("assignments", "published"): len(observed.assignments),
        ("assignments", "unpublished"): 0,
        **{(part, "in_flight"): 0 for part in ("events", "outcomes")},
        **{(part, "quarantined"): 0 for part in ("events", "outcomes")},
        **{(part, "unaccounted"): 0 for part in ("events", "outcomes", "leads")},
    }
    for part, count in (("events", posted.events), ("outcomes", posted.outcomes)):
        accepted = ledger.get(part, {}).get("accepted", 0)
        expected[part, "duplicates"] = accepted - count.ids
        if not count.answered <= accepted <= count.answered + count.unknown:
            yield f"ledger: {part}.accepted is {accepted}, expected {count.answered}"
    for (part, name), number in expected.items():
        counted = ledger.get(part, {}).get(name)
        if counted != number:
            yield f"ledger: {part}.{name} is {counted}, expected {number}"


def _place(person: Person, score: LeadScore, owned: Sequence[LeadAssignment], decided: Sequence[LeadDecision]) -> Place:
    state, stage = _state(score, owned, decided)
    owner = owned[-1] if state == "assigned" and owned else None
    holds = [decision for decision in decided if decision.kind == "held"]
    hold = max(holds, key=_version) if state == "held" and holds else None
    return Place(
        person=person,
        lead_id=score.lead_id,
        state=state,
        stage=stage,
        score=score.score,
        grade=score.grade,
        pool=owner.pool if owner else hold.pool if hold else None,
        rep=(owner.rep.name or owner.rep.id) if owner else None,
        reason=owner.why if owner else hold.reason if hold else None,
        handovers=sum(record.status == "assigned" for record in owned),
        why_score=_why(score),
    )


def _state(score: LeadScore, owned: Sequence[LeadAssignment], decided: Sequence[LeadDecision]) -> tuple[str, str]:
    """State and stage of a lead: what routing said last; until it has said something, what scoring says."""
    said: list[tuple[int, str, str | None]] = [
        (record.version, "assigned", None) for record in owned if record.status == "assigned"
    ]
    said += [(_version(one), one.state, one.stage) for one in decided if one.state is not None]
    if not said:
        return ("pending" if score.qualified else "nurturing"), score.stage
    said.sort(key=lambda one: one[0])
    stages = [stage for _, _, stage in said if stage is not None]
    return said[-1][1], stages[-1] if stages else score.stage


def _version(decision: LeadDecision) -> int:
    return decision.version or 0


def _why(score: LeadScore) -> str:
    if not score.reasons:
        return ""
    strongest = min(score.reasons, key=lambda reason: (-reason.points, reason.rule))
    return f"{strongest.rule} {strongest.points:+d}"


def _lead_of(observed: Observed, person: Person) -> str | None:
    return observed.found[person.number].get(person.email)


def _by_lead(records: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        if record.lead_id is not None:
            found[record.lead_id].append(record)
    return found
