"""The working copy of everything a batch touches, from what was loaded under locks to what will be saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.routing.domain.deals import Deal
from services.routing.domain.lead import Assignment, AssignmentStatus, Cause, Lead, Outcome
from services.routing.domain.lead_state import State
from services.routing.domain.pool import Pool, Rep
from services.routing.domain.records import AssignmentRecord, DecisionRecord, Kind, Record


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read after the locks. `claims`: name of a lead -> lead id; `waiting`: outcomes whose lead may come."""

    leads: Mapping[str, Lead] = field(default_factory=dict)
    assignments: Sequence[Assignment] = ()
    deals: Sequence[Deal] = ()
    claims: Mapping[str, str] = field(default_factory=dict)
    waiting: Sequence[Outcome] = ()
    pools: Mapping[str, Pool] = field(default_factory=dict)
    reps: Mapping[str, Rep] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a batch changed. `records` are in order; a lead's carry rising versions."""

    leads: tuple[Lead, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    deals: tuple[Deal, ...] = ()
    pools: tuple[Pool, ...] = ()
    reps: tuple[Rep, ...] = ()
    waiting: tuple[Outcome, ...] = ()
    arrived: tuple[Cause, ...] = ()
    records: tuple[Record, ...] = ()


class Batch:
    """Mutable while one call of `decide` runs; nothing outside sees it change."""

    def __init__(self, loaded: Loaded, now: datetime) -> None:
        self.now = now
        self.leads = dict(loaded.leads)
        self.pools = dict(loaded.pools)
        self.reps = dict(loaded.reps)
        self._loaded = loaded
        self._assignments: dict[str, dict[int, Assignment]] = {}
        for assignment in loaded.assignments:
            self._assignments.setdefault(assignment.lead_id, {})[assignment.epoch] = assignment
        self._deals: dict[str, dict[str, Deal]] = {}
        for deal in loaded.deals:
            self.put_deal(deal)
        self._changed_assignments: dict[tuple[str, int], Assignment] = {}
        self._waiting: dict[Cause, Outcome] = {}
        self._awaited: dict[str, list[Cause]] = {}
        for outcome in loaded.waiting:
            self._keep(outcome)
        self._records: list[Record] = []
        self.causes: dict[str, Cause] = {}
        """Why a pool or a lead in its queue is looked at, by pool name and lead id."""

    def lead_of(self, outcome: Outcome) -> Lead | None:
        """The lead the outcome names, or None while it is not known."""
        lead_id = outcome.lead_id or first_claimed(self._loaded.claims, outcome.names)
        lead = self.leads[lead_id] if lead_id else None
        return None if lead is None or lead.state is State.UNKNOWN else lead

    def assignments_of(self, lead_id: str) -> Sequence[Assignment]:
        """Every assignment of the lead, oldest first."""
        return [a for _, a in sorted(self._assignments.get(lead_id, {}).items())]

    def deal(self, lead_id: str, key: str) -> Deal:
        """The deal as known; an empty one when nothing is."""
        return self._deals.get(lead_id, {}).get(key) or Deal(lead_id, key)

    def deals_of(self, lead_id: str) -> tuple[Deal, ...]:
        """The lead's deals in order of key."""
        return tuple(deal for _, deal in sorted(self._deals.get(lead_id, {}).items()))

    def put_deal(self, deal: Deal) -> None:
        self._deals.setdefault(deal.lead_id, {})[deal.key] = deal

    def wait(self, outcome: Outcome) -> None:
        """Keep the outcome until its lead arrives."""
        self._keep(outcome)
        self._records.append(
            DecisionRecord(Kind.WAITING, self.now, outcome.cause, None, outcome.live, "unknown_lead", outcome=outcome)
        )

    def take_waiting(self, names: Iterable[str]) -> list[Outcome]:
        """The outcomes that waited for a lead with one of `names`, in order of occurrence; they wait no more."""
        causes = dict.fromkeys(cause for name in names for cause in self._awaited.pop(name, ()))
        found = [self._waiting.pop(cause) for cause in causes if cause in self._waiting]
        return sorted(found, key=lambda o: (o.occurred_at, o.cause.source, o.cause.event_id))

    def number(self, pool: str) -> int:
        """The next decision number of the pool."""
        self.pools[pool] = replace(self.pools[pool], decisions=self.pools[pool].decisions + 1)
        return self.pools[pool].decisions

    def record(self, record: DecisionRecord) -> None:
        """Note a decision about a lead. Its version grows with each that is published."""
        if record.lead is not None:
            grown = record.kind is not Kind.ASSIGNED
            lead = replace(record.lead, version=record.lead.version + grown)
            self.leads[lead.lead_id] = lead
            record = replace(record, lead=lead)
        self._records.append(record)

    def begin(self, lead: Lead, assignment: Assignment, why: str, cause: Cause) -> Lead:
        """Give the lead to a rep; returns the lead with the version of the record that says so."""
        lead = replace(lead, version=lead.version + 1)
        self.leads[lead.lead_id] = lead
        self._put_assignment(assignment)
        rep = self.reps[assignment.rep]
        self._records.append(
            AssignmentRecord(self.now, cause, lead, assignment, rep, why, deals=self.deals_of(lead.lead_id))
        )
        return lead

    def restore(self, lead: Lead, assignment: Assignment) -> None:
        """Take over an assignment that was published before the database forgot it: nothing new is to be told."""
        self.leads[lead.lead_id] = lead
        self._put_assignment(assignment)
        rep = self.reps[assignment.rep]
        self.reps[assignment.rep] = replace(rep, open=rep.open + 1)

    def wait_no_more(self, outcome: Outcome) -> None:
        """The outcome found its lead, if it waited for one."""
        self._waiting.pop(outcome.cause, None)

    def end(self, lead: Lead, status: AssignmentStatus, why: str, outcome: Outcome, flags: tuple[str, ...]) -> None:
        """End the lead's active assignment and free the rep's slot."""
        active = self._assignments[lead.lead_id][lead.epoch]
        assignment = replace(active, status=status, ended_at=self.now, why=why)
        self._put_assignment(assignment)
        rep = self.reps[active.rep]
        self.reps[active.rep] = replace(rep, open=rep.open - 1)
        lead = replace(lead, version=lead.version + 1)
        self.leads[lead.lead_id] = lead
        deals = self.deals_of(lead.lead_id)
        self._records.append(
            AssignmentRecord(self.now, outcome.cause, lead, assignment, rep, why, outcome, flags, deals)
        )

    def changes(self) -> Changes:
        """What is different from what was loaded."""
        before = self._loaded
        known_deals = {(deal.lead_id, deal.key): deal for deal in before.deals}
        waited = {outcome.cause for outcome in before.waiting}
        return Changes(
            tuple(lead for lead in self.leads.values() if lead is not before.leads.get(lead.lead_id)),
            tuple(self._changed_assignments.values()),
            tuple(
                deal
                for deals in self._deals.values()
                for deal in deals.values()
                if deal is not known_deals.get((deal.lead_id, deal.key))
            ),
            tuple(pool for pool in self.pools.values() if pool != before.pools[pool.name]),
            tuple(rep for rep in self.reps.values() if rep != before.reps[rep.rep_id]),
            tuple(outcome for cause, outcome in self._waiting.items() if cause not in waited),
            tuple(outcome.cause for outcome in before.waiting if outcome.cause not in self._waiting),
            tuple(self._records),
        )

    def _keep(self, outcome: Outcome) -> None:
        self._waiting[outcome.cause] = outcome
        for name in outcome.names_awaited:
            self._awaited.setdefault(name, []).append(outcome.cause)

    def _put_assignment(self, assignment: Assignment) -> None:
        self._assignments.setdefault(assignment.lead_id, {})[assignment.epoch] = assignment
        self._changed_assignments[assignment.lead_id, assignment.epoch] = assignment


def first_claimed(claims: Mapping[str, str], names: Iterable[str]) -> str | None:
    """The lead that has the first claimed of `names`; None when none is claimed."""
    return next((claims[name] for name in names if name in claims), None)
