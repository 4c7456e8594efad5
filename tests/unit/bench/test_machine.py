from __future__ import annotations

import pytest

from bench.machine import _TICKS_PER_SECOND, Ticks, parse_ticks, shares

STAT = "cpu  100 1 20 1000 50 3 4 22 90 0\ncpu0 50 0 10 500 25 1 2 11 45 0\nintr 5\n"


def test_guests_are_counted_once_and_waiting_for_the_disk_is_idle() -> None:
    assert parse_ticks(STAT) == Ticks(total=1200, idle=1050, steal=22)


def test_time_is_split_into_stolen_ours_and_that_of_others() -> None:
    before, after = (
        Ticks(0, 0, 0),
        Ticks(total=10 * _TICKS_PER_SECOND, idle=4 * _TICKS_PER_SECOND, steal=_TICKS_PER_SECOND),
    )
    steal, others = shares(before, after, ours=3.0)
    assert steal == pytest.approx(0.1)
    assert others == pytest.approx(0.2)


def test_a_difference_of_clocks_is_no_negative_share() -> None:
    assert shares(Ticks(0, 0, 0), Ticks(100, 100, 0), ours=1.0) == (0.0, 0.0)


def test_without_ticks_no_share_is_told() -> None:
    assert shares(None, None, ours=1.0) == (None, None)
