"""The stages of a lead against the tables printed in docs/state_machine.md, report after report."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.routing.domain.lead_state import DEAL_FACTS, Report, Stage, State
from services.scoring.domain.stage import Stage as MarketingStage
from services.scoring.domain.stage import advance
from tests.architecture.markdown import arrows, fences, section, tables, text_of
from tests.unit.routing.given import World, at, outcome, pool, rep, score, unqualified

TEXT = text_of("docs/state_machine.md")
((_HEAD, *_ROWS),) = tables(section(TEXT, "Stage"))
CELLS = {(report, stage): cell for report, *cells in _ROWS for stage, cell in zip(_HEAD[1:], cells, strict=True)}
(_DIAGRAM,) = fences(section(TEXT, "State"), "mermaid")
ARROWS = {(before, after) for before, after, _ in arrows(_DIAGRAM)}
MARKETING = ("new", "engaged", "mql")
WITH_SALES = (State.HELD, State.ASSIGNED)


class Stages(RuleBasedStateMachine):
    """One lead, told of by scoring and by sales. Each report names another deal, so that none is a repeat."""

    @initialize(reps=st.integers(0, 2))
    def begin(self, reps: int) -> None:
        members = "ab"[:reps]
        self.world = World([pool(*members)], [rep(name, 1) for name in members])
        self.world.apply(unqualified(0))
        self.version = 1
        self.deals = 0
        self.model = "engaged"
        self.before = State.NURTURING

    @rule(report=st.sampled_from(Report), live=st.booleans())
    def sales_reports(self, report: Report, live: bool) -> None:
        lead = self.world.lead(0)
        self.deals += 1
        deal = f"d{self.deals}" if report in DEAL_FACTS else None
        self.world.apply(outcome(report, 0, live=live, deal_id=deal, occurred_at=at(5000)))
        cell = CELLS[report.value, lead.stage.value]
        in_vain = report is Report.REJECTED and live and lead.state is not State.ASSIGNED
        of_the_past = not live and lead.state in WITH_SALES
        if cell not in "-." and not in_vain and not of_the_past:
            self.model = cell

    @rule(live=st.booleans(), minutes=st.integers(0, 3))
    def scoring_tells(self, live: bool, minutes: int) -> None:
        """A new qualification takes a lead back to the beginning of sales' part, unless sales has it or gave it up."""
        lead = self.world.lead(0)
        self.version += 1
        qualified_at = at(4900 + 100 * minutes)
        seen = score(0, self.version, live=live, qualified_at=qualified_at)
        self.world.apply(seen)
        starts = (
            live
            and lead.stage is not Stage.DISQUALIFIED
            and lead.state not in WITH_SALES
            and all(known is None or qualified_at > known for known in (lead.qualified_at, lead.closed_at))
        )
        anew = lead.qualified_at is not None or lead.closed_at is not None
        if self.model in MARKETING or (starts and anew):
            self.model = "mql"

    @rule(name=st.sampled_from("ab"), capacity=st.integers(0, 1))
    def a_rep_changes(self, name: str, capacity: int) -> None:
        if name in self.world.reps:
            self.world.change(name, capacity=capacity)
            self.world.release()

    @invariant()
    def the_stage_is_the_tables(self) -> None:
        if hasattr(self, "world"):
            assert self.world.lead(0).stage.value == self.model

    @invariant()
    def the_state_moved_along_an_arrow(self) -> None:
        if hasattr(self, "world"):
            now = self.world.lead(0).state
            assert now is self.before or (self.before.value, now.value) in ARROWS, f"{self.before} to {now}"
            self.before = now


TestStages = Stages.TestCase
TestStages.settings = settings(max_examples=300, stateful_step_count=15, deadline=None)


class MarketingStages(RuleBasedStateMachine):
    """Scoring's part: points come and go, the stage only rises, and history never qualifies."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = MarketingStage.NEW

    @rule(engagement=st.integers(0, 3), score=st.integers(0, 60), live=st.booleans())
    def an_event_comes(self, engagement: int, score: int, live: bool) -> None:
        after = advance(self.stage, engagement=engagement, score=score, live=live, engaged_from=2, qualified_from=50)
        rank = {"new": 0, "engaged": 1, "mql": 2}
        reached = 0 if engagement < 2 else 1
        engaged = max(rank[self.stage], reached)
        expected = 2 if engaged >= 1 and live and score >= 50 else engaged
        assert rank[after] == max(expected, rank[self.stage])
        self.stage = after


TestMarketingStages = MarketingStages.TestCase
TestMarketingStages.settings = settings(max_examples=100, stateful_step_count=10, deadline=None)
