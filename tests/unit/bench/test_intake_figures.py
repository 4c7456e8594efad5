from __future__ import annotations

import pytest

from bench.arms.intake import ARM, WAYS, Tally, figures


def test_each_way_of_the_peer_is_compared_with_our_own_way_of_the_same_kind() -> None:
    seconds = {"single_ours": 2.0, "single_peer": 8.0, "batch_ours": 1.0, "batch_in_turn": 30.0, "batch_gathered": 10.0}
    told = figures({name: Tally(events=1000, cpu=cpu, broker=1.0, seconds=10.0) for name, cpu in seconds.items()})
    ratios = {name: told[f"ratio_{name}"] for name in ("single_peer", "batch_in_turn", "batch_gathered")}
    assert told["ratio_batch_single"] == pytest.approx(8)
    assert ratios == pytest.approx({"single_peer": 4, "batch_in_turn": 30, "batch_gathered": 10})
    assert told["single_ours_per_cpu_s"] == pytest.approx(500)
    assert told["single_ours_per_s"] == pytest.approx(100)


def test_all_that_the_table_shows_is_measured() -> None:
    told = figures({name: Tally(1, 1.0, 1.0, 1.0) for name in WAYS})
    assert {figure.name for figure in ARM.figures} <= told.keys()


def test_a_run_too_short_for_the_clock_still_gives_figures() -> None:
    told = figures({name: Tally(1, 0.0, 0.0, 1.0) for name in WAYS})
    assert told["ratio_single_peer"] == 1


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_what_is_compared_is_posted_alike(kind: str) -> None:
    ways = [way for name, way in WAYS.items() if name.startswith(kind)]
    assert len({(way.batch, way.at_once) for way in ways}) == 1
