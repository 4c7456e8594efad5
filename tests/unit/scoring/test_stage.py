from __future__ import annotations

import pytest

from services.scoring.domain.stage import TRANSITIONS, Stage, advance


def after(stage: Stage, engagement: int, score: int, *, live: bool = True) -> Stage:
    return advance(stage, engagement=engagement, score=score, live=live, engaged_from=1, qualified_from=50)


@pytest.mark.parametrize(
    ("engagement", "score", "expected"),
    [
        (0, 0, Stage.NEW),
        (0, 100, Stage.NEW),
        (1, 1, Stage.ENGAGED),
        (1, 49, Stage.ENGAGED),
        (1, 50, Stage.MARKETING_QUALIFIED),
    ],
)
def test_a_new_lead_goes_as_far_as_its_points_reach(engagement: int, score: int, expected: Stage) -> None:
    assert after(Stage.NEW, engagement, score) is expected


@pytest.mark.parametrize("stage", [Stage.NEW, Stage.ENGAGED])
def test_history_never_qualifies(stage: Stage) -> None:
    assert after(stage, 100, 100, live=False) is Stage.ENGAGED


@pytest.mark.parametrize("stage", list(Stage))
def test_no_stage_is_ever_left_backwards(stage: Stage) -> None:
    assert after(stage, 0, 0) is stage


def test_every_stage_leads_to_the_end_of_marketing() -> None:
    for stage in Stage:
        steps = [stage]
        while (following := TRANSITIONS[steps[-1]]) is not None:
            steps.append(following)
        assert steps[-1] is Stage.MARKETING_QUALIFIED
        assert len(steps) == len(set(steps))
