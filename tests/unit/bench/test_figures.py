from __future__ import annotations

import pytest

from bench.figures import Figure, Spread, percentile, percentiles, spread


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.9, 90), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_the_percentiles_of_one_value_are_that_value() -> None:
    assert percentiles("ms", [7.0]) == {"ms_p50": 7.0, "ms_p90": 7.0, "ms_p99": 7.0}


def test_rounds_become_their_median_and_range() -> None:
    assert spread([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0)


@pytest.mark.parametrize(
    ("figure", "value", "met"),
    [
        (Figure("rate", "events/s", aim=10), 10, True),
        (Figure("rate", "events/s", aim=10), 9.9, False),
        (Figure("p99", "ms", aim=25, less_is_better=True), 25, True),
        (Figure("p99", "ms", aim=25, less_is_better=True), 25.1, False),
        (Figure("cost", "us"), 1e9, True),
    ],
)
def test_an_aim_is_met_from_its_own_side(figure: Figure, value: float, met: bool) -> None:
    assert figure.meets(value) is met
