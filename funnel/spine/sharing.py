"""Who should hold which lease: pure, so that fairness is tested without a database.

As the Kinesis client does with its lease table: every replica works out its fair share from the owners it sees, takes
what is free first, and steals only from a replica that holds more than its share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One row of the lease table as seen at one moment; `live` means its lease has not run out."""

    topic: str
    partition: int
    owner: str | None
    epoch: int
    live: bool


def plan(rows: Sequence[LeaseRow], me: str) -> list[LeaseRow]:
    """The leases of one topic that `me` should try to take now, in the order to try them.

    Shares end up differing by at most one. A replica that holds nothing cannot be seen by
    others, so it is the one that steals.
    """
    held = Counter(row.owner for row in rows if row.live and row.owner)
    mine = held.pop(me, 0)
    share = -(-len(rows) // (len(held) + 1))
    wanted: list[LeaseRow] = []
    for row in rows:
        if mine + len(wanted) < share and not (row.live and row.owner):
            wanted.append(row)
    stealable = [(row.owner, row) for row in rows if row.live and row.owner and row.owner != me]
    for owner, row in sorted(stealable, key=lambda pair: -held[pair[0]]):
        if held[owner] > mine + len(wanted) + 1:
            held[owner] -= 1
            wanted.append(row)
    return wanted
