"""How long a dead child waits before it is started again: pure arithmetic over how often and how fast it died."""

from __future__ import annotations

from typing import Final

# Short, because a service that is killed should serve again within three seconds, and starting takes one of them.
FIRST_DELAY_S: Final = 0.1
LONGEST_DELAY_S: Final = 30.0
# Who lived this long had got to work, on a loaded machine too; its death says nothing about the next start.
STEADY_S: Final = 5.0


def quick_deaths_after(quick_deaths: int, lived_s: float) -> int:
    """The number of deaths in a row that came too soon, after one more death at the age of `lived_s` seconds."""
    return 0 if lived_s >= STEADY_S else quick_deaths + 1


def delay_s(quick_deaths: int) -> float:
    """Seconds to wait before the next start: doubled for each quick death after the first, up to a bound."""
    doublings = max(0, quick_deaths - 1)
    longest = LONGEST_DELAY_S / FIRST_DELAY_S
    return FIRST_DELAY_S * min(2.0 ** min(doublings, 64), longest)
