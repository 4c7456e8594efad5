"""Pools and reps, as routing sees them while it decides."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rep:
    """A sales rep. `capacity` is how many leads they can have open at once, `open` how many they have."""

    rep_id: str
    name: str
    email: str
    capacity: int
    open: int
    active: bool

    @property
    def free(self) -> int:
        """How many more leads the rep can take; 0 for one who is away or, since the capacity was cut, over it."""
        return max(0, self.capacity - self.open) if self.active else 0


@dataclass(frozen=True, slots=True)
class Member:
    """A rep's place in a pool; `current` is the rotation's memory."""

    rep: str
    weight: int
    current: int


@dataclass(frozen=True, slots=True)
class Pool:
    """Reps who share leads. `decisions` is the number of the last decision taken; `members` are in order of rep id."""

    name: str
    decisions: int
    members: tuple[Member, ...]
