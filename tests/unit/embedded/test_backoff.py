"""How long a dead child waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from funnel.embedded.backoff import FIRST_DELAY_S, LONGEST_DELAY_S, STEADY_S, delay_s, quick_deaths_after


def test_a_child_that_had_been_at_work_is_started_again_almost_at_once() -> None:
    assert delay_s(quick_deaths_after(7, STEADY_S)) == FIRST_DELAY_S


def test_the_delay_doubles_while_deaths_come_quickly() -> None:
    deaths, delays = 0, []
    for _ in range(5):
        deaths = quick_deaths_after(deaths, lived_s=0.3)
        delays.append(delay_s(deaths))
    assert delays == [FIRST_DELAY_S * factor for factor in (1, 2, 4, 8, 16)]


@given(deaths=st.integers(min_value=0, max_value=10**9))
def test_the_delay_never_shrinks_and_never_passes_its_bound(deaths: int) -> None:
    assert FIRST_DELAY_S <= delay_s(deaths) <= delay_s(deaths + 1) <= LONGEST_DELAY_S
