"""Doubts that wait until they are findings: seen in two looks, and whatever could still explain them is over. Pure.

Something may be missing from a topic because it is on its way: in the outbox, or published and not yet read by the
witness (the metrics service, whose inbox remembers every record). So such a doubt waits until the outbox has nothing
left that is as old as the row (its ids only grow), then notes where the log ends, then waits until the witness has
read up to there. If the record is still unknown in that look, it was never published. A relay or a witness that stands
still keeps such doubts waiting; that has alarms of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from funnel.audit.findings import PUBLICATIONS, Doubt, Kind
from funnel.audit.seen import Seen
from funnel.kafka.consumer import Partition

PENDING_MAX = 10_000
"""Doubts that wait at the same time. What does not fit in comes back with a later look."""

Key = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Frame:
    """What one snapshot says besides: lowest and highest id in each service's outbox, and what the witness has read."""

    outbox: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    witnessed: Mapping[Partition, int] = field(default_factory=dict)


@dataclass(slots=True)
class Pending:
    """A doubt, what to look at again for it, and how far it has come."""

    doubt: Doubt
    look: int
    record: Seen | None = None
    outbox_last: int = 0
    drained: bool = False
    ends: Mapping[Partition, int] | None = None


class Doubts:
    """The doubts that wait, over the looks of one auditor."""

    def __init__(self) -> None:
        self._pending: dict[Key, Pending] = {}
        self._look = 0

    def __len__(self) -> int:
        return len(self._pending)

    def of_earlier_looks(self) -> list[Pending]:
        """What has to be looked at again now."""
        return [one for one in self._pending.values() if one.look < self._look]

    def add(self, doubts: Iterable[Doubt], records: Mapping[tuple[str, int, int], Seen], frame: Frame) -> None:
        """Doubts of this look; those that wait already keep their place."""
        for doubt in doubts:
            if doubt.key in self._pending or len(self._pending) >= PENDING_MAX:
                continue
            record = records[doubt.place] if doubt.place is not None else None
            pending = Pending(doubt, self._look, record)
            if (publication := PUBLICATIONS.get(doubt.kind)) is not None:
                span = frame.outbox.get(publication.service)
                pending.outbox_last = span[1] if span is not None else 0
                pending.drained = span is None
            self._pending[doubt.key] = pending

    def seen_again(self, still: Collection[Key], frame: Frame, looked_at: Iterable[Pending]) -> list[Doubt]:
        """Of the doubts looked at again, those that are findings now. Those that are not in `still` are forgotten."""
        confirmed: list[Doubt] = []
        for one in looked_at:
            if one.doubt.key not in still:
                del self._pending[one.doubt.key]
            elif _stands(one, frame):
                del self._pending[one.doubt.key]
                confirmed.append(one.doubt)
            elif one.ends is None:
                span = frame.outbox.get(PUBLICATIONS[one.doubt.kind].service)
                one.drained = one.drained or span is None or span[0] > one.outbox_last
        return confirmed

    def end_look(self, ends: Mapping[Partition, int]) -> None:
        """The look is over. `ends`: where the logs end, asked after everything else of this look was read."""
        for one in self._pending.values():
            if one.drained and one.ends is None:
                topic = PUBLICATIONS[one.doubt.kind].topic
                one.ends = {place: end for place, end in ends.items() if place[0] == topic}
        self._look += 1


def _stands(one: Pending, frame: Frame) -> bool:
    """Whether nothing can explain the doubt any more."""
    if one.doubt.kind not in PUBLICATIONS:
        return True
    return one.ends is not None and all(frame.witnessed.get(place, 0) >= end for place, end in one.ends.items())
