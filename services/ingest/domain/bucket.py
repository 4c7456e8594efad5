"""A token bucket: how much one sender may send, in the long run and in a burst."""

from __future__ import annotations

from typing import Final

BURST_SECONDS: Final = 10
BURST_MIN: Final = 1000
"""As many as one request may hold: a sender with a low rate can still send a batch."""


class Bucket:
    """Tokens flow in at a rate up to a limit, and each item takes one.

    The bucket may owe: a request is taken whole while there is anything in it, so that every batch fits; the next one
    waits until the debt is paid. In the long run no more gets through than the rate.
    """

    __slots__ = ("_at", "_level", "rate")

    def __init__(self, rate: int, now: float) -> None:
        """`rate` is in items per second; the bucket is full at `now`, in seconds of any clock that does not go back."""
        self.rate = rate
        self._at = now
        self._level = float(burst_of(rate))

    def take(self, items: int, now: float) -> float:
        """Take `items` out and return 0, or take nothing and return the seconds after which there is something."""
        level = min(self._level + (now - self._at) * self.rate, burst_of(self.rate))
        self._at = now
        if level <= 0:
            self._level = level
            return max(-level / self.rate, _SHORTEST_WAIT)
        self._level = level - items
        return 0.0


_SHORTEST_WAIT: Final = 0.001
"""At a level of exactly 0 something is there in no time; the answer must not read as if it had been taken."""


def burst_of(rate: int) -> int:
    """The most that a rested sender may send at once, apart from the request that goes into debt."""
    return max(rate * BURST_SECONDS, BURST_MIN)
