"""Assignment as a sales tool sees it, who reads nothing but the records: one rep for each lead, and never too many."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.routing.domain.assign import Skipped
from services.routing.domain.batch import Changes
from services.routing.domain.lead_state import Report, State
from services.routing.domain.records import AssignmentRecord, DecisionRecord, Kind
from tests.unit.routing.given import World, at, outcome, pool, rep, score

LEADS = st.integers(0, 6)
REPS = ("a", "b", "c")
ENDS = st.sampled_from(
    [Report.REJECTED, Report.WON, Report.LOST, Report.RECYCLED, Report.DISQUALIFIED, Report.REOPENED]
)


class Assignments(RuleBasedStateMachine):
    """Batches of scores and reports, and managers who change reps; the model is what the records tell."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(
            [pool(("a", 3), "b"), pool("b", "c", name="big")], [rep("a", 2), rep("b", 1), rep("c", 1, active=False)]
        )
        self.owners: dict[str, str] = {}
        self.epochs: Counter[str] = Counter()
        self.numbers: Counter[str] = Counter()
        self.versions: Counter[int] = Counter()
        self.minute = 0

    @rule(leads=st.lists(LEADS, min_size=1, max_size=5, unique=True), to=st.sampled_from(["sales", "big"]))
    def leads_qualify(self, leads: list[int], to: str) -> None:
        self.minute += 1
        seen = []
        for lead in leads:
            self.versions[lead] += 1
            seen.append(score(lead, self.versions[lead], pool=to, qualified_at=at(2000 + self.minute)))
        self._read(self.world.apply(*seen, now=at(self.minute)))

    @rule(lead=LEADS, report=ENDS, epoch=st.sampled_from([None, None, 1, 2]))
    def sales_reports(self, lead: int, report: Report, epoch: int | None) -> None:
        if not self.versions[lead]:
            return
        self.minute += 1
        told = outcome(report, lead, epoch=epoch, occurred_at=at(2000 + self.minute), deal_id=f"d{self.minute}")
        self._read(self.world.apply(told, now=at(self.minute)))

    @rule(name=st.sampled_from(REPS), capacity=st.integers(0, 3), active=st.booleans())
    def a_rep_changes(self, name: str, capacity: int, active: bool) -> None:
        self.minute += 1
        self.world.change(name, capacity=capacity, active=active)
        self._read(self.world.release(now=at(self.minute)))

    def _read(self, changes: Changes) -> None:
        for record in changes.records:
            if isinstance(record, AssignmentRecord):
                self._read_assignment(record)
            else:
                self._read_decision(record)

    def _read_assignment(self, record: AssignmentRecord) -> None:
        assignment, lead = record.assignment, record.lead.lead_id
        if assignment.status == "active":
            assert lead not in self.owners, "two reps have one lead"
            assert assignment.epoch == self.epochs[lead] + 1
            self.epochs[lead] += 1
            self.owners[lead] = assignment.rep
            someone = self.world.reps[assignment.rep]
            assert someone.active, "a rep who is away got a lead"
            assert list(self.owners.values()).count(assignment.rep) <= someone.capacity, "more than a rep can have"
        else:
            assert self.owners.pop(lead) == assignment.rep
            assert assignment.epoch == self.epochs[lead]

    def _read_decision(self, record: DecisionRecord) -> None:
        if record.number is not None:
            assert record.pool is not None
            self.numbers[record.pool] += 1
            assert record.number == self.numbers[record.pool], "a number is missing"
        if record.kind is Kind.HELD:
            assert record.reason
            assert all(one.skipped is not None for one in record.candidates), "held although somebody could take it"
            for one in record.candidates:
                if one.skipped is Skipped.AT_CAPACITY:
                    assert one.open >= one.capacity

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        for lead in self.world.leads.values():
            if lead.state is State.HELD:
                assert lead.held_reason
                members = self.world.pools[str(lead.pool)].members
                free = {one.rep for one in members if self.world.reps[one.rep].free}
                assert free <= set(lead.excluded)

    @invariant()
    def what_was_told_is_so(self) -> None:
        assert self.owners == {one.lead_id: one.rep for one in self.world.leads.values() if one.rep is not None}


TestAssignments = Assignments.TestCase
TestAssignments.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)
