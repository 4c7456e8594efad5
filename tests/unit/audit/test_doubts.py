"""When a doubt is a finding: any order of relay, reader and looks, and never for what is only on its way."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from funnel.audit.doubts import PENDING_MAX, Doubts, Frame
from funnel.audit.findings import Doubt, Kind
from funnel.audit.seen import Seen

PLACE = ("lead-assignments", 0)
RECORD = Seen(("lead-events", 0, 5), "web", "e-1", b"h")
LOST = Doubt(Kind.EFFECTS_LOST, "lead-events/0/5 for scoring", RECORD.place)


def unpublished(number: int) -> Doubt:
    return Doubt(Kind.ASSIGNMENTS_UNPUBLISHED, f"a{number}:assigned", lead_id=f"l{number}")


def look(doubts: Doubts, found: Set[Doubt], frame: Frame, end: int) -> list[Doubt]:
    """One look that finds exactly `found`, in one snapshot."""
    records = {RECORD.place: RECORD}
    confirmed = doubts.seen_again({one.key for one in found}, frame, doubts.of_earlier_looks())
    doubts.add([one for one in found if one not in confirmed], records, frame)
    doubts.end_look({PLACE: end})
    return confirmed


def test_a_lost_effect_is_a_finding_at_the_second_look() -> None:
    doubts = Doubts()
    assert look(doubts, {LOST}, Frame(), 0) == []
    assert look(doubts, {LOST}, Frame(), 0) == [LOST]
    assert len(doubts) == 0


def test_what_is_well_at_the_second_look_is_forgotten() -> None:
    doubts = Doubts()
    look(doubts, {LOST}, Frame(), 0)
    assert look(doubts, set(), Frame(), 0) == []
    assert look(doubts, {LOST}, Frame(), 0) == []


def test_no_more_wait_than_there_is_room_for() -> None:
    doubts = Doubts()
    doubts.add([unpublished(number) for number in range(PENDING_MAX + 5)], {}, Frame())
    assert len(doubts) == PENDING_MAX


@dataclass
class Pipeline:
    """Routing's outbox, the topic and metrics' inbox, moved step by step. Records are numbers."""

    outbox: list[tuple[int, int]] = field(default_factory=list)
    rows: set[int] = field(default_factory=set)
    topic: list[int] = field(default_factory=list)
    read: int = 0
    ids: int = 0

    def decide(self, number: int, *, lost: bool) -> None:
        self.ids += 1
        self.rows.add(number)
        if not lost:
            self.outbox.append((self.ids, number))

    def publish(self) -> None:
        if self.outbox:
            self.topic.append(self.outbox.pop(0)[1])

    def consume(self) -> None:
        self.read = min(self.read + 1, len(self.topic))

    def frame(self) -> Frame:
        ids = [id_ for id_, _ in self.outbox]
        return Frame({"routing": (min(ids), max(ids)) if ids else None}, {PLACE: self.read})

    def doubted(self) -> set[Doubt]:
        return {unpublished(number) for number in self.rows - set(self.topic[: self.read])}


STEPS = st.lists(st.sampled_from(["decide", "lose", "publish", "consume", "look"]), max_size=60)


@given(STEPS)
def test_only_what_was_never_in_the_outbox_is_found_and_all_of_it_in_the_end(steps: list[str]) -> None:
    pipeline, doubts = Pipeline(), Doubts()
    lost: set[Doubt] = set()
    found: set[Doubt] = set()

    def one_look() -> None:
        found.update(look(doubts, pipeline.doubted(), pipeline.frame(), len(pipeline.topic)))

    for number, step in enumerate(steps):
        if step in ("decide", "lose"):
            pipeline.decide(number, lost=step == "lose")
            if step == "lose":
                lost.add(unpublished(number))
        elif step == "look":
            one_look()
        else:
            getattr(pipeline, step)()
        assert found <= lost
    for _ in steps:
        pipeline.publish()
        pipeline.consume()
    for _ in range(3):
        one_look()
    assert found == lost
