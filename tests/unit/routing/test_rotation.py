"""Smooth weighted round robin: exact in every window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.rotation import Turn, pick

WEIGHTS = st.lists(st.integers(1, 9), min_size=1, max_size=7)


def picks(turns: list[Turn], count: int) -> list[str]:
    chosen: list[str] = []
    for _ in range(count):
        rep, turns = pick(turns)
        chosen.append(rep)
    return chosen


def test_weights_three_to_one_never_come_in_bursts() -> None:
    assert "".join(picks([Turn("a", 3, 0), Turn("b", 1, 0)], 8)) == "aabaaaba"


def test_the_example_of_nginx() -> None:
    assert "".join(picks([Turn("a", 5, 0), Turn("b", 1, 0), Turn("c", 1, 0)], 7)) == "aabacaa"


@given(WEIGHTS)
def test_every_window_as_long_as_the_sum_of_weights_is_exact(weights: list[int]) -> None:
    turns = [Turn(f"r{index}", weight, 0) for index, weight in enumerate(weights)]
    total = sum(weights)
    chosen = picks(turns, 3 * total)
    for begin in range(2 * total):
        window = chosen[begin : begin + total]
        assert [window.count(turn.rep) for turn in turns] == weights


@given(WEIGHTS)
def test_the_rotation_comes_back_to_where_it_began(weights: list[int]) -> None:
    turns = begun = [Turn(f"r{index}", weight, 0) for index, weight in enumerate(weights)]
    for _ in range(sum(weights)):
        _, turns = pick(turns)
    assert turns == begun


@given(WEIGHTS, st.data())
def test_the_order_in_which_candidates_are_given_does_not_matter(weights: list[int], data: st.DataObject) -> None:
    turns = [Turn(f"r{index}", weight, index * 3 % 5) for index, weight in enumerate(weights)]
    shuffled = data.draw(st.permutations(turns))
    chosen, after = pick(turns)
    chosen_of_shuffled, after_of_shuffled = pick(shuffled)
    assert chosen == chosen_of_shuffled
    assert sorted(after) == sorted(after_of_shuffled)


def test_who_was_away_is_not_flooded_when_back() -> None:
    everybody = [Turn("a", 1, 0), Turn("b", 1, 0), Turn("c", 1, 0)]
    while_c_is_away = everybody[:2]
    for _ in range(1000):
        _, while_c_is_away = pick(while_c_is_away)
    back = picks([*while_c_is_away, everybody[2]], 9)
    assert [back.count(rep) for rep in "abc"] == [3, 3, 3]


def test_nobody_cannot_be_picked() -> None:
    with pytest.raises(ValueError, match="nobody"):
        pick([])
