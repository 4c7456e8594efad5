"""A small world of routing in memory: what the tables hold, fed by batches like the service feeds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.routing.domain.batch import Changes, Loaded
from services.routing.domain.deals import Deal
from services.routing.domain.decide import decide
from services.routing.domain.lead import (
    Assignment,
    AssignmentStatus,
    Cause,
    Facts,
    Lead,
    Outcome,
    ScoreSeen,
    name_of_lead,
)
from services.routing.domain.lead_state import Report, Stage, State
from services.routing.domain.needs import named_leads, needs
from services.routing.domain.pool import Member, Pool, Rep
from services.routing.domain.records import AssignmentRecord, DecisionRecord

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CAPACITY = Cause("routing", "capacity")


def lead_id(number: int) -> str:
    return str(UUID(int=number))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def rep(name: str, capacity: int = 100, *, open: int = 0, active: bool = True) -> Rep:
    return Rep(name, name.title(), f"{name}@example.com", capacity, open, active)


def pool(*members: str | tuple[str, int], name: str = "sales") -> Pool:
    pairs = sorted(one if isinstance(one, tuple) else (one, 1) for one in members)
    return Pool(name, 0, tuple(Member(rep, weight, 0) for rep, weight in pairs))


def score(lead: int, version: int = 1, **fields: Any) -> ScoreSeen:
    """A record of lead-scores about a lead that qualified at `at(lead)`, unless `fields` say otherwise."""
    known: dict[str, Any] = {
        "stage": Stage.MARKETING_QUALIFIED,
        "score": 60,
        "live": True,
        "qualified_at": at(lead),
        "names": (f"email:{lead}@example.com",),
        "cause": Cause("scoring", f"{lead_id(lead)}:{version}"),
        "pool": "sales",
        "rule": "everyone",
        "facts": Facts(grade="A"),
    } | fields
    if known["qualified_at"] is None:
        known["pool"] = known["rule"] = None
    return ScoreSeen(lead_id(lead), version, **known)


def unqualified(lead: int, version: int = 1, **fields: Any) -> ScoreSeen:
    return score(lead, version, **({"stage": Stage.ENGAGED, "qualified_at": None, "score": 10} | fields))


_count = iter(range(10**9))


def outcome(report: Report | str, lead: int | None = None, **fields: Any) -> Outcome:
    """An outcome about a lead, named by its id unless `fields` give names."""
    report = Report(report)
    known: dict[str, Any] = {
        "occurred_at": at(1000),
        "live": True,
        "reason": "because",
        "cause": Cause("crm", fields.pop("event_id", f"o-{next(_count)}")),
        "lead_id": lead_id(lead) if lead is not None else None,
    } | fields
    return Outcome(report=report, **known)


class World:
    """The tables. `apply` takes a batch the way the handler does: only what was found to be needed is given to it."""

    def __init__(self, pools: Sequence[Pool] = (), reps: Sequence[Rep] = ()) -> None:
        self.leads: dict[str, Lead] = {}
        self.assignments: dict[tuple[str, int], Assignment] = {}
        self.deals: dict[tuple[str, str], Deal] = {}
        self.claims: dict[str, str] = {}
        self.waiting: dict[Cause, Outcome] = {}
        self.pools = {one.name: one for one in pools}
        self.reps = {one.rep_id: one for one in reps}
        self.all: list[Changes] = []

    def apply(self, *inputs: ScoreSeen | Outcome, now: datetime = START) -> Changes:
        scores = [one for one in inputs if isinstance(one, ScoreSeen)]
        outcomes = [one for one in inputs if isinstance(one, Outcome)]
        for seen in scores:
            for name in seen.names:
                self.claims.setdefault(name, seen.lead_id)
        named = {seen.lead_id for seen in scores}.union(*(named_leads(self.claims, one) for one in outcomes))
        leads = {one: self.leads.setdefault(one, Lead(one)) for one in sorted(named)}
        names = {name for seen in scores for name in (*seen.names, name_of_lead(seen.lead_id))}
        waiting = [one for one in self.waiting.values() if names.intersection(one.names_awaited)]
        wanted = needs(leads, self.claims, scores, [*outcomes, *waiting])
        pools = wanted.pools | {p.name for p in self.pools.values() for m in p.members if m.rep in wanted.freed}
        return self._decide(pools, leads, waiting, inputs, wanted.freed, now)

    def release(self, *pools: str, now: datetime = START) -> Changes:
        """What the releaser does."""
        return self._decide(set(pools or self.pools), {}, [], (), {}, now)

    def change(self, name: str, **fields: Any) -> None:
        """What an administrator does to a rep."""
        self.reps[name] = replace(self.reps[name], **fields)

    def lead(self, number: int) -> Lead:
        return self.leads[lead_id(number)]

    def owner(self, number: int) -> str | None:
        return self.lead(number).rep

    def kinds(self, changes: Changes) -> list[str]:
        """The records of a batch in short: kinds of decisions, status of assignments."""
        return [one.kind if isinstance(one, DecisionRecord) else str(one.assignment.status) for one in changes.records]

    def check(self) -> None:
        """What must hold at any time."""
        active: dict[str, str] = {}
        for one in self.assignments.values():
            if one.status is AssignmentStatus.ACTIVE:
                assert one.lead_id not in active
                active[one.lead_id] = one.rep
        assert active == {one.lead_id: one.rep for one in self.leads.values() if one.state is State.ASSIGNED}
        for one_rep in self.reps.values():
            assert one_rep.open == list(active.values()).count(one_rep.rep_id)
        for lead in self.leads.values():
            assert lead.state is not State.PENDING
            assert (lead.held_reason is not None) == (lead.state is State.HELD)
            epochs = sorted(epoch for owner, epoch in self.assignments if owner == lead.lead_id)
            assert epochs == list(range(1, lead.epoch + 1))
        for name in self.pools:
            numbers = [one.number for one in self._decisions() if one.pool == name and one.number is not None]
            assert numbers == list(range(1, len(numbers) + 1))
        self._check_versions()

    def _check_versions(self) -> None:
        versions: dict[str, int] = {}
        for record in (record for changes in self.all for record in changes.records):
            if record.lead is None or (isinstance(record, DecisionRecord) and record.kind == "assigned"):
                continue
            assert record.lead.version == versions.get(record.lead.lead_id, 0) + 1
            versions[record.lead.lead_id] = record.lead.version

    def _decisions(self) -> list[DecisionRecord]:
        return [one for changes in self.all for one in changes.records if isinstance(one, DecisionRecord)]

    def _decide(
        self,
        pools: set[str] | frozenset[str],
        leads: Mapping[str, Lead],
        waiting: Sequence[Outcome],
        inputs: Sequence[ScoreSeen | Outcome],
        freed: Mapping[str, int],
        now: datetime,
    ) -> Changes:
        held = {one.lead_id: one for one in self.leads.values() if one.state is State.HELD and one.pool in pools}
        reps = {m.rep for name in pools for m in self.pools[name].members} | set(freed)
        loaded = Loaded(
            leads={**held, **leads},
            assignments=[one for (owner, _), one in sorted(self.assignments.items()) if owner in leads],
            deals=[one for (owner, _), one in sorted(self.deals.items()) if owner in leads or owner in held],
            claims=dict(self.claims),
            waiting=waiting,
            pools={name: self.pools[name] for name in sorted(pools)},
            reps={name: self.reps[name] for name in sorted(reps)},
        )
        changes = decide(loaded, inputs, now, CAPACITY)
        self._keep(changes)
        return changes

    def _keep(self, changes: Changes) -> None:
        self.leads |= {one.lead_id: one for one in changes.leads}
        self.assignments |= {(one.lead_id, one.epoch): one for one in changes.assignments}
        self.deals |= {(one.lead_id, one.key): one for one in changes.deals}
        self.pools |= {one.name: one for one in changes.pools}
        self.reps |= {one.rep_id: one for one in changes.reps}
        self.waiting |= {one.cause: one for one in changes.waiting}
        for cause in changes.arrived:
            del self.waiting[cause]
        self.all.append(changes)
        self.check()


def assignments(changes: Changes) -> list[tuple[str, int, str, str]]:
    """(lead, epoch, rep, status) of the assignment records, in order."""
    return [
        (one.lead.lead_id, one.assignment.epoch, one.assignment.rep, str(one.assignment.status))
        for one in changes.records
        if isinstance(one, AssignmentRecord)
    ]


def decision(changes: Changes, index: int = 0) -> DecisionRecord:
    """One of the decisions of a batch."""
    return [one for one in changes.records if isinstance(one, DecisionRecord)][index]
