"""The state machine of a lead, checked cell by cell against a picture of it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from services.routing.domain.lead_state import DEAL_FACTS, REASON_REQUIRED, TRANSITIONS, Report, Stage, State, after
from tests.unit.routing.given import World, decision, outcome, pool, rep, score

# Rows: what is reported. Columns: the stage before. A cell is the stage after, `.` stays, `-` is illegal.
PICTURE = """
                       new   engaged nurture mql  sal  sql  opportunity won  lost recycled disqualified suppressed
attempted              .     .       .       .    .    .    .           .    .    .        .            -
contacted              .     .       .       .    .    .    .           .    .    .        .            -
accepted               sal   sal     sal     sal  .    .    .           .    .    .        -            -
rejected               -     -       -       .    mql  mql  -           -    -    -        -            -
appointment.set        sql   sql     sql     sql  sql  .    .           .    .    .        -            -
appointment.held       sql   sql     sql     sql  sql  .    .           .    .    .        -            -
appointment.no_show    sql   sql     sql     sql  sql  .    .           .    .    .        -            -
appointment.cancelled  sql   sql     sql     sql  sql  .    .           .    .    .        -            -
opportunity.opened     opportunity opportunity opportunity opportunity opportunity opportunity . . . . . -
deal.updated           opportunity opportunity opportunity opportunity opportunity opportunity . . . . . -
won                    won   won     won     won  won  won  won         .    won  won      won          -
won.cancelled          -     -       -       -    .    .    .           lost .    .        .            -
lost                   lost  lost    lost    lost lost lost lost        .    .    .        .            -
reopened               -     -       -       -    opportunity opportunity . . opportunity . . -
recycled               recycled recycled recycled recycled recycled recycled recycled - recycled . - -
disqualified           disqualified disqualified disqualified disqualified disqualified disqualified disqualified - disqualified disqualified . -
"""  # noqa: E501 - a table


def cells() -> list[tuple[Report, Stage, Stage | None]]:
    head, *rows = [line.split() for line in PICTURE.strip().splitlines()]
    found: list[tuple[Report, Stage, Stage | None]] = []
    for report, *row in rows:
        for before, cell in zip(head, row, strict=True):
            stage = None if cell == "-" else Stage(before if cell == "." else cell)
            found.append((Report(report), Stage(before), stage))
    return found


def test_the_picture_shows_every_report_in_every_stage() -> None:
    assert {(report, stage) for report, stage, _ in cells()} == set(itertools.product(Report, Stage))


@pytest.mark.parametrize(("report", "before", "stage"), cells())
def test_the_table_is_what_the_picture_shows(report: Report, before: Stage, stage: Stage | None) -> None:
    assert after(before, report) is stage


def test_every_report_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Report)


@pytest.mark.parametrize(("report", "before"), [(r, s) for r, s, after_ in cells() if after_ is None])
def test_an_illegal_report_moves_nothing_and_says_so(report: Report, before: Stage) -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(score(1))
    held_by = world.owner(1)
    world.leads = {key: replace(lead, stage=before) for key, lead in world.leads.items()}
    changes = world.apply(outcome(report, 1))
    assert (world.lead(1).stage, world.lead(1).state, world.owner(1)) == (before, State.ASSIGNED, held_by)
    if report in DEAL_FACTS:  # the fact counts, the lead does not move
        assert (decision(changes).kind, decision(changes).flags) == ("outcome.applied", ("illegal",))
    else:
        assert (decision(changes).kind, decision(changes).reason) == ("outcome.stale", f"illegal_in_{before}")


@pytest.mark.parametrize("reports", list(itertools.permutations([Report.ACCEPTED, Report.APPOINTMENT_SET, Report.WON])))
def test_any_order_of_arrival_ends_in_the_same_stage(reports: tuple[Report, ...]) -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(score(1))
    kinds = [decision(world.apply(outcome(report, 1))).kind for report in reports]
    assert kinds == ["outcome.applied"] * 3
    assert (world.lead(1).stage, world.lead(1).state) == (Stage.WON, State.CLOSED)


def test_reasons_are_required_where_the_contract_says() -> None:
    assert {"rejected", "lost", "recycled", "disqualified"} == REASON_REQUIRED
