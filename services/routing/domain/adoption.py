"""Taking in what was published and then lost with the end of the database: the first published wins.

Outcomes that were told of are applied again, by the same rules, and their inputs count as read. Leads that were given
to a rep are that rep's, by the same assignment. What belongs to such a decision and had not been published yet is
published now. Everything else is decided anew when its input is read again, under versions and numbers that nobody has
seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import NamedTuple

from funnel.contracts import LeadAssignment, LeadDecision, ReportedOutcome
from services.routing.domain.assign import Hold
from services.routing.domain.batch import Batch, Changes, Loaded
from services.routing.domain.lead import Assignment, AssignmentStatus, Cause, Facts, Lead, Outcome, ScoreSeen
from services.routing.domain.lead_state import Report, Stage, State
from services.routing.domain.outcomes import apply_to
from services.routing.domain.pool import Pool
from services.routing.domain.records import AssignmentRecord, DecisionRecord, Kind, Record
from services.routing.domain.scores import queued, starts

ADOPTED = Cause("routing", "reconcile")
"""The cause of decisions whose own cause was not published."""

_BEFORE_A_QUALIFICATION = frozenset({State.UNKNOWN, State.NURTURING, State.CLOSED})

Published = LeadAssignment | LeadDecision


class Qualification(NamedTuple):
    """What a record of scoring about a qualified lead says: its version, and when the lead qualified."""

    version: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Adopted:
    """What to write. `changes` holds all but the assignments, which may have begun and ended since."""

    changes: Changes
    assignments: tuple[Assignment, ...]
    given: tuple[tuple[LeadAssignment, int], ...]
    """Published assignments that took a number of their pool, and that number."""
    lost: tuple[tuple[str, int], ...]
    """(pool, number) of decisions nobody was told of: they are taken again under other numbers."""
    records: tuple[Record, ...]
    """What still has to be published."""
    absorbed: frozenset[Cause]
    """Outcomes whose effect is in: reading them again has none."""


def adopt(
    loaded: Loaded,
    published: Sequence[Published],
    outcomes: Mapping[Cause, Outcome],
    qualified: Mapping[str, Sequence[Qualification]],
    now: datetime,
) -> Adopted:
    """What follows from records that the tables do not know.

    `loaded` holds every lead they name, its assignments and deals, all pools and reps, and the outcomes of the records
    that wait. `outcomes` and `qualified` are inputs that will be read again: outcomes by cause, and the qualifications
    of each lead in their order.
    """
    adoption = _Adoption(loaded, published, outcomes, qualified, now)
    adoption.run()
    return adoption.result()


class _Adoption:
    def __init__(
        self,
        loaded: Loaded,
        published: Sequence[Published],
        outcomes: Mapping[Cause, Outcome],
        qualified: Mapping[str, Sequence[Qualification]],
        now: datetime,
    ) -> None:
        self._loaded = loaded
        self._decisions = [one for one in published if isinstance(one, LeadDecision)]
        self._about: defaultdict[str, list[Published]] = defaultdict(list)
        for one in sorted(published, key=lambda one: one.version or 0):
            if one.lead_id is not None:
                self._about[one.lead_id].append(one)
        self._told = {_identity(one) for one in published}
        self._outcomes = {outcome.cause: outcome for outcome in loaded.waiting} | dict(outcomes)
        self._qualified = qualified
        self._now = now
        self._applied: set[Cause] = set()
        self._waiting: set[Cause] = set()
        self._given: list[LeadAssignment] = []
        self._batch = Batch(
            replace(loaded, leads={id_: self._above_published(lead) for id_, lead in loaded.leads.items()}),
            now,
        )

    def run(self) -> None:
        """Apply every record, each lead's in the order of its versions."""
        for decision in self._decisions:
            if decision.kind == Kind.WAITING.value and decision.outcome is not None:
                cause = Cause(decision.outcome.source, decision.outcome.event_id)
                if cause in self._outcomes:
                    self._waiting.add(cause)
                    self._batch.wait(self._outcomes[cause])
        for lead_id in self._loaded.leads:
            for one in self._about[lead_id]:
                self._batch.now = one.at
                self._take(one)
            self._settle(self._batch.leads[lead_id])
        self._batch.now = self._now

    def result(self) -> Adopted:
        changes = self._batch.changes()
        records = [record for record in changes.records if not self._is_published(record)]
        pools, given, lost, records = self._numbered(records)
        return Adopted(
            replace(changes, leads=tuple(self._batch.leads.values()), assignments=(), pools=pools, records=()),
            changes.assignments,
            given,
            lost,
            tuple(records),
            frozenset(self._applied | self._waiting),
        )

    def _take(self, one: Published) -> None:
        if isinstance(one, LeadDecision):
            if one.outcome is not None:
                self._apply(one.outcome, str(one.lead_id), live=one.mode == "live")
            return
        if all(assignment.epoch != one.epoch for assignment in self._batch.assignments_of(one.lead_id)):
            self._give(one)
        if one.status != "assigned":
            self._end(one)

    def _give(self, one: LeadAssignment) -> None:
        lead = self._batch.leads[one.lead_id]
        facts = Facts(
            grade=one.grade,
            reasons=tuple(one.reasons),
            account=one.account,
            contact=one.contact,
            message=one.message,
            first_touch=one.first_touch,
            last_touch=one.last_touch,
        )
        if lead.state in _BEFORE_A_QUALIFICATION:
            lead = queued(lead, self._qualification(lead, one, facts))
        lead = replace(
            lead,
            state=State.ASSIGNED,
            epoch=one.epoch,
            rep=one.rep.id,
            pool=one.pool,
            rule=one.rule,
            score=lead.score if one.score is None else one.score,
            facts=facts,
            held_since=None,
            held_reason=None,
            preferred=None,
        )
        assignment = Assignment(
            one.lead_id,
            one.epoch,
            one.assignment_id,
            one.rep.id,
            one.pool,
            one.rule,
            AssignmentStatus.ACTIVE,
            one.assigned_at,
        )
        self._batch.restore(lead, assignment)
        self._given.append(one)

    def _qualification(self, lead: Lead, one: LeadAssignment, facts: Facts) -> ScoreSeen:
        """The record of scoring that led to the assignment, as far as it matters: the first that brings news."""
        seen = ScoreSeen(
            lead_id=one.lead_id,
            version=0,
            stage=Stage.MARKETING_QUALIFIED,
            score=one.score or 0,
            live=True,
            qualified_at=one.assigned_at,
            names=(),
            cause=ADOPTED,
            pool=one.pool,
            rule=one.rule,
            facts=facts,
        )
        version = lead.score_version
        for qualification in self._qualified.get(lead.lead_id, ()):
            again = replace(seen, qualified_at=qualification.at)
            if qualification.version > version and starts(lead, again):
                return again
            version = max(version, qualification.version)
        return seen

    def _end(self, one: LeadAssignment) -> None:
        if one.outcome is None:
            raise ValueError("an assignment ends by an outcome")
        outcome = self._apply(one.outcome, one.lead_id, live=True)
        lead = self._batch.leads[one.lead_id]
        if lead.state is not State.ASSIGNED or lead.epoch != one.epoch:
            return
        # The rules have the lead go on, from a state that is not quite what it was: what was published stands.
        recycled = outcome.report is Report.RECYCLED
        state = State.PENDING if one.status == "revoked" else State.NURTURING if recycled else State.CLOSED
        status = AssignmentStatus(one.status)
        self._batch.end(replace(lead, state=state, rep=None), status, one.why or one.status, outcome, ())

    def _apply(self, reported: ReportedOutcome, lead_id: str, *, live: bool) -> Outcome:
        """Apply the outcome unless it was."""
        cause = Cause(reported.source, reported.event_id)
        outcome = self._outcomes.get(cause) or _rebuilt(cause, reported, lead_id, live)
        if cause in self._applied:
            return outcome
        self._applied.add(cause)
        self._batch.wait_no_more(outcome)
        lead = self._batch.leads[lead_id]
        if lead.state is State.UNKNOWN:
            lead = self._batch.leads[lead_id] = replace(lead, state=State.NURTURING)
        apply_to(self._batch, lead, outcome)
        return outcome

    def _settle(self, lead: Lead) -> None:
        """A lead to be given away, and nobody was told to whom, is held: the releaser finds a rep for it."""
        if lead.state is not State.PENDING:
            return
        last = self._about[lead.lead_id][-1]
        told = last.reason if isinstance(last, LeadDecision) and last.kind == Kind.HELD.value else None
        held = replace(lead, state=State.HELD, held_since=self._batch.now, held_reason=told or str(Hold.INTERRUPTED))
        self._batch.leads[lead.lead_id] = held
        if told is None:
            pool = str(lead.pool)
            number = self._batch.number(pool)
            record = DecisionRecord(
                Kind.HELD, self._batch.now, ADOPTED, held, True, str(Hold.INTERRUPTED), pool, number
            )
            self._batch.record(record)

    def _above_published(self, lead: Lead) -> Lead:
        seen = [one.version or 0 for one in self._about[lead.lead_id]]
        return replace(lead, version=max([lead.version, *seen]))

    def _is_published(self, record: Record) -> bool:
        if isinstance(record, AssignmentRecord):
            return (record.assignment.assignment_id, record.assignment.status.value) in self._told
        return record.outcome is not None and (record.cause, record.kind is Kind.WAITING) in self._told

    def _numbered(
        self, records: Iterable[Record]
    ) -> tuple[tuple[Pool, ...], tuple[tuple[LeadAssignment, int], ...], tuple[tuple[str, int], ...], list[Record]]:
        """Give decisions that need one a number of their pool, so that none is missing and none has two meanings."""
        released = {(one.lead_id, one.version) for one in self._decisions if one.kind == Kind.RELEASED.value}
        numbers: dict[str, _Numbers] = {}
        for name, pool in self._loaded.pools.items():
            used = {one.number for one in self._decisions if one.pool == name and one.number is not None}
            numbers[name] = _Numbers(pool.decisions, used)
        given = [
            (one, numbers[one.pool].next())
            for one in sorted(self._given, key=lambda one: (one.at, one.lead_id))
            if (one.lead_id, one.version - 1) not in released
        ]
        renumbered: list[Record] = [
            replace(record, number=numbers[record.pool].next())
            if isinstance(record, DecisionRecord) and record.number is not None and record.pool is not None
            else record
            for record in records
        ]
        lost = [(name, number) for name, one in numbers.items() for number in one.left()]
        pools = tuple(replace(self._batch.pools[name], decisions=one.last) for name, one in numbers.items())
        return pools, tuple(given), tuple(lost), renumbered


class _Numbers:
    """The numbers of a pool after `known` that were not published: holes first, then on from the highest."""

    def __init__(self, known: int, used: set[int]) -> None:
        self._highest = max([known, *used])
        self._free = (number for number in count(known + 1) if number not in used)
        self.last = known
        self._known, self._used = known, used

    def next(self) -> int:
        self.last = next(self._free)
        return self.last

    def left(self) -> list[int]:
        """The holes that nothing was found for; the pool goes on after the highest number."""
        holes = [n for n in range(self.last + 1, self._highest + 1) if n not in self._used]
        self.last = max(self.last, self._highest)
        return holes


def _identity(one: Published) -> object:
    """What makes a record the same one when it is decided again; a decision's own id has a number in it."""
    if isinstance(one, LeadAssignment):
        return one.assignment_id, one.status
    if one.outcome is None:
        return one.decision_id
    return Cause(one.outcome.source, one.outcome.event_id), one.kind == Kind.WAITING.value


def _rebuilt(cause: Cause, reported: ReportedOutcome, lead_id: str, live: bool) -> Outcome:
    """The outcome as its record tells it, where the input is not on the topic any more."""
    return Outcome(
        cause=cause,
        report=Report(reported.type),
        occurred_at=reported.occurred_at,
        live=live,
        lead_id=lead_id,
        rep_id=reported.rep_id,
        deal_id=reported.deal_id,
        deal_stage=reported.deal_stage,
        reason=reported.reason,
        amount=reported.amount,
        channel=reported.channel,
    )
