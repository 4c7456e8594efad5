"""The one sentence about where a lead is."""

from __future__ import annotations

import pytest

from services.routing.domain.assign import Hold
from services.routing.domain.lead import Lead
from services.routing.domain.lead_state import Stage, State
from services.routing.domain.why import HOLD_SENTENCES, candidates_now, explain, hold_now
from tests.unit.routing.given import lead_id, pool, rep


def lead(state: State, **fields: object) -> Lead:
    return Lead(lead_id(1), state, **({"pool": "sales", "rule": "everyone"} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "now", "sentence"),
    [
        (lead(State.UNKNOWN), None, "scoring has not published it yet"),
        (lead(State.NURTURING, stage=Stage.ENGAGED, score=30), None, "its stage is engaged, its score 30"),
        (lead(State.NURTURING, stage=Stage.RECYCLED), None, "back to marketing"),
        (lead(State.HELD, held_reason="no_reps"), "no_reps", "Held in pool sales: the pool has no reps."),
        (lead(State.HELD, held_reason="no_reps"), "all_inactive", "has no reps; now every rep who could"),
        (lead(State.ASSIGNED, rep="sato"), None, "With sato, from pool sales by the rule 'everyone'."),
        (lead(State.CLOSED, stage=Stage.LOST), None, "Closed: its stage is lost."),
    ],
)
def test_each_state_is_explained(known: Lead, now: str | None, sentence: str) -> None:
    assert sentence in explain(known, now)


def test_every_reason_to_hold_has_a_sentence() -> None:
    assert set(HOLD_SENTENCES) == set(Hold)


def test_the_reason_at_this_moment_is_told_from_the_reps_as_they_are() -> None:
    team, held = pool("a", "b"), lead(State.HELD, excluded=("b",))
    assert hold_now(candidates_now(held, team, {"a": rep("a", 0), "b": rep("b")})) == "all_at_capacity"
    assert hold_now(candidates_now(held, team, {"a": rep("a"), "b": rep("b")})) is None
