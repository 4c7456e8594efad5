"""`docs/state_machine.md` shows what the code does: its tables are the code's, its arrows are those that are taken."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest

from services.routing.domain.deals import Deal, DealStatus, told
from services.routing.domain.lead import Outcome, ScoreSeen
from services.routing.domain.lead_state import DEAL_FACTS, EFFECTS, REASON_REQUIRED, Effect, Report, Stage, State, after
from services.scoring.domain.stage import TRANSITIONS as MARKETING
from tests.architecture.markdown import arrows, fences, section, tables, text_of
from tests.unit.routing.given import START, World, lead_id, outcome, pool, rep, score, unqualified

TEXT = text_of("docs/state_machine.md")


def test_marketings_stages_are_those_of_scoring() -> None:
    ((_, *rows),) = tables(section(TEXT, "Marketing's stage"))
    shown = {before: None if following == "-" else following for before, following, _ in rows}
    assert shown == {before.value: following and following.value for before, following in MARKETING.items()}


def test_the_table_of_stages_is_that_of_routing() -> None:
    ((head, *rows),) = tables(section(TEXT, "Stage"))
    shown = {(report, stage): cell for report, *cells in rows for stage, cell in zip(head[1:], cells, strict=True)}
    assert shown == {(report.value, stage.value): _cell(stage, report) for report, stage in _all_cells()}


def _all_cells() -> Iterator[tuple[Report, Stage]]:
    return itertools.product(Report, Stage)


def _cell(stage: Stage, report: Report) -> str:
    following = after(stage, report)
    if following is None:
        return "-"
    return "." if following is stage else following.value


def test_the_usual_way_is_in_the_table() -> None:
    (diagram,) = fences(section(TEXT, "Stage"), "mermaid")
    ways = [way for way in arrows(diagram) if way[0] != "[*]"]
    assert ways
    for before, following, report in ways:
        assert after(Stage(before), Report(report)) is Stage(following), f"{before} --> {following}: {report}"


def test_the_effects_are_those_of_routing() -> None:
    ((_, *rows),) = tables(section(TEXT, "State"))
    assert dict(rows) == {report.value: effect.value for report, effect in EFFECTS.items() if effect is not Effect.NONE}


def test_the_reports_that_need_a_reason_are_named() -> None:
    names = sorted(f"`{report}`" for report in REASON_REQUIRED)
    (line,) = [line for line in TEXT.splitlines() if line.endswith("need a reason.")]
    assert sorted(word.strip(",") for word in line.split() if word.startswith("`")) == names


def test_the_arrows_between_states_are_those_that_are_taken() -> None:
    (diagram,) = fences(section(TEXT, "State"), "mermaid")
    shown = {(before, following) for before, following, _ in arrows(diagram) if before != "[*]"}
    taken = {(before.value, following.value) for before, following in _taken()}
    # An arrow from a state to itself says that the owner changed; what leaves a lead in its place is not drawn.
    assert {arrow for arrow in taken if len(set(arrow)) == 2} == {arrow for arrow in shown if len(set(arrow)) == 2}


def _taken() -> set[tuple[State, State]]:
    """Every change of state that one report, one score or a change of the reps brings about, from wherever it leads."""
    taken: set[tuple[State, State]] = set()
    seen: set[Place] = set()
    todo = [World([pool("a", "b")], [rep("a", 1), rep("b", 1)])]
    while todo:
        world = todo.pop()
        before = _place(world)
        if before in seen or len(world.waiting) > 1:
            continue
        seen.add(before)
        for following in _steps(world, len(seen)):
            taken.add((before[0], _place(following)[0]))
            todo.append(following)
    return taken


Place = tuple[State, Stage, bool, frozenset[Report]]


def _place(world: World) -> Place:
    """What the rules look at: state and stage of the lead, whether anybody is free, and what waits for the lead."""
    lead = world.leads.get(lead_id(1))
    free = any(one.free for one in world.reps.values())
    waiting = frozenset(one.report for one in world.waiting.values())
    return lead.state if lead else State.UNKNOWN, lead.stage if lead else Stage.NEW, free, waiting


def _steps(world: World, number: int) -> Iterator[World]:
    later = START + timedelta(days=number)
    version = (world.leads[lead_id(1)].score_version if lead_id(1) in world.leads else 0) + 1
    inputs: list[ScoreSeen | Outcome] = [
        unqualified(1, version),
        score(1, version, qualified_at=later),
        *(outcome(report, 1, occurred_at=later) for report in Report),
    ]
    for one in inputs:
        following = copy.deepcopy(world)
        following.apply(one, now=later)
        yield following
    for capacity in (0, 1):
        following = copy.deepcopy(world)
        for name in following.reps:
            following.change(name, capacity=capacity)
        following.release(now=later)
        yield following


def deals() -> Iterator[tuple[DealStatus, Deal]]:
    """A deal of each status."""
    for status, reports in ((DealStatus.OPEN, []), (DealStatus.WON, [Report.WON]), (DealStatus.LOST, [Report.LOST])):
        deal = Deal(lead_id(1), "d-1")
        for report in reports:
            deal, _ = told(deal, outcome(report, 1))
        assert deal.status is status
        yield status, deal


@pytest.mark.parametrize(("status", "deal"), list(deals()))
def test_the_table_of_deals_is_that_of_routing(status: DealStatus, deal: Deal) -> None:
    ((head, *rows),) = tables(section(TEXT, "Deal"))
    column = head.index(status)
    assert {row[0] for row in rows} == {report.value for report in DEAL_FACTS}
    for row in rows:
        later, _ = told(deal, outcome(row[0], 1))
        assert row[column] == ("." if later.status is status else later.status), row[0]
