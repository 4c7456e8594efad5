"""Smooth weighted round robin, as in nginx (ngx_http_upstream_get_peer, by Igor Sysoev).

Each time, every candidate's `current` grows by its weight; the largest is picked, and the sum of the weights is taken
off it. Weights 3:1 give a a b a, repeated: exact in every window as long as the sum of the weights, and never bursty.
Who is not a candidate neither gains nor loses, so a rep back from leave is not flooded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Turn(NamedTuple):
    """A candidate's place in the rotation; `weight` is at least 1."""

    rep: str
    weight: int
    current: int


def pick(turns: Sequence[Turn]) -> tuple[str, list[Turn]]:
    """The rep whose turn it is, and the turns after that. At equal `current` the lower rep id goes first.

    Raises ValueError when there is no candidate.
    """
    if not turns:
        raise ValueError("nobody to pick from")
    raised = [Turn(turn.rep, turn.weight, turn.current + turn.weight) for turn in turns]
    chosen = min(raised, key=lambda turn: (-turn.current, turn.rep)).rep
    total = sum(turn.weight for turn in turns)
    return chosen, [turn._replace(current=turn.current - total) if turn.rep == chosen else turn for turn in raised]
