"""Numbers: what the arms report, and how several rounds become one figure. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that an arm reports. `name` is its key in the JSON file; `aim` is what it should reach."""

    name: str
    text: str
    digits: int = 0
    aim: float | None = None
    less_is_better: bool = False

    def meets(self, value: float) -> bool:
        """Whether `value` reaches the aim; True where there is none."""
        if self.aim is None:
            return True
        return value <= self.aim if self.less_is_better else value >= self.aim


@dataclass(frozen=True, slots=True)
class Spread:
    """The same figure over all rounds."""

    median: float
    least: float
    most: float


def spread(values: Sequence[float]) -> Spread:
    """Median and range of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all values do not exceed. Needs at least one value."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def percentiles(name: str, values: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99 of `values`, under `name`."""
    return {f"{name}_p{share}": percentile(values, share / 100) for share in (50, 90, 99)}
