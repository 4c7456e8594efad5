"""Whatever was lost, and whatever of it was published: what was published first, wins, and nothing happens twice."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

from hypothesis import given, settings
from hypothesis import strategies as st

from funnel.contracts import LeadAssignment, LeadDecision
from funnel.contracts.registry import decoder
from funnel.envelope import Outgoing
from services.routing.domain.adoption import Adopted, Published, Qualification, adopt
from services.routing.domain.batch import Changes, Loaded
from services.routing.domain.lead import AssignmentStatus, Cause, Lead, Outcome, ScoreSeen
from services.routing.domain.lead_state import State
from services.routing.domain.records import DecisionRecord, Kind
from services.routing.wire import ASSIGNMENTS, published
from tests.unit.routing.given import World, at, lead_id, outcome, pool, rep, score
from tests.unit.routing.test_any_history import inputs, world

LATER = at(10_000)
Batches = list[list[ScoreSeen | Outcome]]


def play(played: World, batches: Batches, first_minute: int = 0) -> list[Outgoing]:
    """Apply the batches, each input once; what is published by it."""
    seen: set[Cause] = set()
    for minute, batch in enumerate(batches, first_minute):
        new = {one.cause: one for one in batch if one.cause not in seen}
        seen |= new.keys()
        played.apply(*new.values(), now=at(minute))
    return told(played.all)


def told(changes: list[Changes]) -> list[Outgoing]:
    return [one for some in changes for one in published(some.records, "v1", {})]


def value(one: Outgoing) -> Published:
    read: Published = decoder(one.topic)(one.value, one.ce_dataschema)
    return read


def adopted_by(before: World, lost: Batches, survived: list[Outgoing]) -> Adopted:
    """What becomes of the tables `before` when `survived` of what the `lost` batches had published is adopted."""
    values = [value(one) for one in survived]
    ids = {one.lead_id for one in values if one.lead_id}
    again = [one for batch in lost for one in batch]
    qualified: dict[str, list[Qualification]] = {}
    for one in again:
        if isinstance(one, ScoreSeen) and one.live and one.qualified_at:
            qualified.setdefault(one.lead_id, []).append(Qualification(one.version, one.qualified_at))
    causes = {Cause(one.outcome.source, one.outcome.event_id) for one in values if one.outcome}
    loaded = Loaded(
        leads={id_: before.leads.get(id_, Lead(id_)) for id_ in sorted(ids)},
        assignments=[one for (owner, _), one in sorted(before.assignments.items()) if owner in ids],
        deals=[one for (owner, _), one in sorted(before.deals.items()) if owner in ids],
        waiting=[one for cause, one in before.waiting.items() if cause in causes],
        pools=before.pools,
        reps=before.reps,
    )
    return adopt(loaded, values, {one.cause: one for one in again if isinstance(one, Outcome)}, qualified, LATER)


class Restored(World):
    """The tables after a failover: versions and numbers go on from what was published, not from what was made here."""

    def __init__(self, before: World, adopted: Adopted) -> None:
        self.__dict__.update(deepcopy(before.__dict__))
        self.all = []
        changes = adopted.changes
        self.leads |= {one.lead_id: one for one in changes.leads}
        self.assignments |= {(one.lead_id, one.epoch): one for one in adopted.assignments}
        self.deals |= {(one.lead_id, one.key): one for one in changes.deals}
        self.pools |= {one.name: one for one in changes.pools}
        self.reps |= {one.rep_id: one for one in changes.reps}
        self.waiting |= {one.cause: one for one in changes.waiting}
        for cause in changes.arrived:
            del self.waiting[cause]
        self.numbered = [(one.pool, one.number) for one in before._decisions() if one.number]
        self.check()

    def check(self) -> None:
        whole, self.all, pools, self.pools = self.all, [], self.pools, {}
        super().check()
        self.all, self.pools = whole, pools


def check(before: World, lost: Batches, survived: list[Outgoing], again: Batches) -> Restored:
    """Adopt, read everything again in the batches of `again`, and see that what was published stands."""
    adopted = adopted_by(before, lost, survived)
    restored = Restored(before, adopted)
    emitted = published(adopted.records, "v1", {})
    rest = [[one for one in batch if one.cause not in adopted.absorbed] for batch in again]
    play(restored, [batch for batch in rest if batch], 20_000)
    restored.release(now=at(30_000))
    new = emitted + told(restored.all)
    _check_assignments(restored, survived)
    assert not {one.ce_id for one in new} & {one.ce_id for one in survived}, "an old id, said anew"
    _check_outcomes([*survived, *new])
    _check_versions(survived, new)
    _check_numbers(before, adopted, survived, restored)
    return restored


def _check_assignments(restored: World, survived: list[Outgoing]) -> None:
    for one in map(value, survived):
        if isinstance(one, LeadAssignment):
            kept = restored.assignments[one.lead_id, one.epoch]
            assert (kept.assignment_id, kept.rep) == (one.assignment_id, one.rep.id)
            assert one.status == "assigned" or kept.status == one.status


def _check_outcomes(records: list[Outgoing]) -> None:
    """Each outcome was told of once, and once more at most for having waited before."""
    values = [value(one) for one in records]
    seen = Counter(
        (one.outcome.source, one.outcome.event_id, one.kind == Kind.WAITING.value)
        for one in values
        if isinstance(one, LeadDecision) and one.outcome
    )
    assert set(seen.values()) <= {1}, seen


def _check_versions(survived: list[Outgoing], new: list[Outgoing]) -> None:
    highest: dict[str, int] = {}
    for one in sorted(map(value, survived), key=lambda one: one.version or 0):
        if one.lead_id:
            highest[one.lead_id] = one.version or 0
    for one in map(value, new):
        if one.lead_id:
            assert (one.version or 0) > highest.get(one.lead_id, 0)
            highest[one.lead_id] = one.version or 0


def _check_numbers(before: World, adopted: Adopted, survived: list[Outgoing], restored: Restored) -> None:
    numbered: list[tuple[str | None, int | None]] = [*restored.numbered, *adopted.lost]
    numbered += [(one.pool, number) for one, number in adopted.given]
    numbered += [(one.pool, one.number) for one in map(value, survived) if isinstance(one, LeadDecision) and one.number]
    made = [*adopted.records, *(one for some in restored.all for one in some.records)]
    numbered += [(one.pool, one.number) for one in made if isinstance(one, DecisionRecord) and one.number]
    for name, one_pool in restored.pools.items():
        assert sorted(n for p, n in numbered if p == name and n) == list(range(1, one_pool.decisions + 1))


BATCHES = st.lists(st.lists(inputs(), min_size=1, max_size=5), max_size=8)


@given(BATCHES, BATCHES, st.data())
@settings(max_examples=400)
def test_what_was_published_stands_whatever_was_lost(kept: Batches, lost: Batches, data: st.DataObject) -> None:
    before = world()
    play(before, kept)
    known = {one.cause for batch in kept for one in batch}
    lost = [[one for one in batch if one.cause not in known] for batch in lost]
    lost = [batch for batch in lost if batch]
    after = deepcopy(before)
    after.all = []
    made = _after(after, lost, len(kept))
    survived = _prefixes(made, data)
    everything = [one for batch in lost for one in batch]
    check(before, lost, survived, [everything] if data.draw(st.booleans()) else [[one] for one in everything])


def _after(played: World, lost: Batches, minute: int) -> list[Outgoing]:
    restored = Restored(played, Adopted(Changes(), (), (), (), (), frozenset()))
    return play(restored, lost, minute)


def _prefixes(made: list[Outgoing], data: st.DataObject) -> list[Outgoing]:
    """Of each partition the relay got so far and no further. A lead's records are in one partition of each topic."""
    survived: list[Outgoing] = []
    for partition in sorted({(one.topic, one.key[-1] in "024") for one in made}):
        records = [one for one in made if (one.topic, one.key[-1] in "024") == partition]
        survived += records[: data.draw(st.integers(0, len(records)))]
    return survived


def test_a_published_owner_is_kept_although_the_rotation_would_choose_another() -> None:
    before = World([pool("a", "b")], [rep("a"), rep("b")])
    lost: Batches = [[score(1)], [score(2)]]
    made = play(deepcopy(before), lost)
    restored = check(before, lost, [one for one in made if one.key == lead_id(2)], [[score(2)], [score(1)]])
    assert restored.owner(2) == "b"


def test_a_rejection_that_was_published_takes_no_second_rep_the_lead() -> None:
    before = World([pool("a", "b", "c")], [rep("a"), rep("b"), rep("c")])
    before.apply(score(1), now=at(0))
    lost: Batches = [[outcome("rejected", 1, event_id="no")]]
    after = deepcopy(before)
    made = play(after, lost)[1:]
    restored = check(before, lost, made, lost)
    assert (restored.owner(1), restored.lead(1).epoch) == ("b", 2)
    assert restored.reps["a"].open == 0


def test_what_belongs_to_a_published_decision_is_published_too() -> None:
    before = World([pool("a")], [rep("a")])
    before.apply(score(1), now=at(0))
    lost: Batches = [[outcome("won", 1, event_id="yes")]]
    made = play(deepcopy(before), lost)[1:]
    decisions = [one for one in made if one.topic != ASSIGNMENTS]
    adopted = adopted_by(before, lost, decisions)
    assert [one.ce_id for one in published(adopted.records, "v1", {})] == [
        one.ce_id for one in made if one.topic == ASSIGNMENTS
    ]
    check(before, lost, decisions, lost)


def test_a_rejection_whose_new_owner_nobody_was_told_of_is_decided_again() -> None:
    before = World([pool("a", "b")], [rep("a"), rep("b")])
    before.apply(score(1), now=at(0))
    lost: Batches = [[outcome("rejected", 1, event_id="no")]]
    made = play(deepcopy(before), lost)[1:]
    ended = [one for one in made if one.ce_type != "lead.assigned"]
    restored = check(before, lost, ended, lost)
    assert restored.lead(1).state is State.ASSIGNED
    assert [one.status for one in restored.assignments.values()] == [AssignmentStatus.REVOKED, AssignmentStatus.ACTIVE]


def test_a_lead_that_qualified_and_was_sold_within_what_was_lost_is_not_given_away_again() -> None:
    before = World([pool("a")], [rep("a")])
    lost: Batches = [[score(1)], [outcome("won", 1, event_id="yes", occurred_at=at(-5))]]
    made = play(deepcopy(before), lost)
    restored = check(before, lost, made, lost)
    assert (restored.lead(1).state, restored.lead(1).epoch) == (State.CLOSED, 1)
