from __future__ import annotations

from bench.plan import REPEATS_MAX, in_turns, to_repeat


def test_every_second_round_runs_in_the_opposite_order() -> None:
    assert list(in_turns(["a", "b"], 3)) == [(1, "a"), (1, "b"), (2, "b"), (2, "a"), (3, "a"), (3, "b")]


def test_a_run_whose_time_was_stolen_is_repeated() -> None:
    assert to_repeat(0.06, repeats=0)
    assert not to_repeat(0.05, repeats=0)


def test_repeating_comes_to_an_end() -> None:
    assert not to_repeat(0.9, repeats=REPEATS_MAX)


def test_where_the_system_tells_of_no_theft_nothing_is_repeated() -> None:
    assert not to_repeat(None, repeats=0)
