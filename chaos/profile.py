"""How large a run is: the whole proof, a quick look, or the one row that belongs to the tests."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Size(StrEnum):
    """`full` is what is published; `quick` has shorter faults; `smoke` the shortest that still mean something."""

    FULL = "full"
    QUICK = "quick"
    SMOKE = "smoke"


@dataclass(frozen=True, slots=True)
class Profile:
    """What every row gets unless it asks for something else: so many events, at so many in a second."""

    size: Size
    events: int
    rate: float

    def pick(self, full: float, quick: float, smoke: float | None = None) -> float:
        """The value for this size (of `smoke`, `quick` when not given): seconds of an outage, rounds of a storm."""
        if self.size is Size.FULL:
            return full
        return quick if self.size is Size.QUICK or smoke is None else smoke


PROFILES = {
    Size.FULL: Profile(Size.FULL, events=4000, rate=80),
    Size.QUICK: Profile(Size.QUICK, events=2000, rate=80),
    Size.SMOKE: Profile(Size.SMOKE, events=1500, rate=120),
}
