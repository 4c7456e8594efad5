"""Leases, epochs and fencing: replicas that plan, take, freeze, work and leave, against one obvious owner."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from funnel.spine.sharing import LeaseRow, plan

REPLICAS = ("a", "b", "c")
PARTITIONS = 5
REPLICA = st.sampled_from(REPLICAS)


class Leases(RuleBasedStateMachine):
    """The lease table, what each replica believes to hold, and the offsets of the partitions."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = [LeaseRow("in", n, None, 0, live=False) for n in range(PARTITIONS)]
        self.believes: dict[str, dict[int, int]] = {name: {} for name in REPLICAS}
        self.next = [0] * PARTITIONS
        self.applied: list[list[tuple[str, int]]] = [[] for _ in range(PARTITIONS)]
        self.planned: list[tuple[str, LeaseRow]] = []

    def _take(self, me: str, seen: LeaseRow) -> None:
        """The compare-and-set of `take`."""
        row = self.rows[seen.partition]
        if row.epoch == seen.epoch:
            self.rows[seen.partition] = replace(row, owner=me, epoch=row.epoch + 1, live=True)
            self.believes[me][seen.partition] = row.epoch + 1

    @rule(me=REPLICA)
    def looks_and_plans(self, me: str) -> None:
        """What it saw may be old by the time it acts."""
        self.planned += [(me, row) for row in plan(self.rows, me)]

    @precondition(lambda self: self.planned)
    @rule(data=st.data())
    def acts_on_what_it_saw(self, data: st.DataObject) -> None:
        me, seen = self.planned.pop(data.draw(st.integers(0, len(self.planned) - 1)))
        self._take(me, seen)

    @rule(me=REPLICA)
    def renews(self, me: str) -> None:
        held = {row.partition: row.epoch for row in self.rows if row.owner == me and row.live}
        self.believes[me] = held

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def a_lease_runs_out(self, partition: int) -> None:
        self.rows[partition] = replace(self.rows[partition], live=False)

    @rule(me=REPLICA)
    def leaves(self, me: str) -> None:
        self.rows = [replace(row, owner=None, live=False) if row.owner == me else row for row in self.rows]
        self.believes[me] = {}

    @rule(me=REPLICA, partition=st.integers(0, PARTITIONS - 1))
    def applies_a_record(self, me: str, partition: int) -> None:
        """The compare-and-set of `advance`, with the epoch it believes in."""
        epoch = self.believes[me].get(partition)
        if epoch is not None and self.rows[partition].epoch == epoch:
            self.applied[partition].append((me, epoch))
            self.next[partition] += 1

    @invariant()
    def nobody_works_under_an_old_epoch(self) -> None:
        for partition, done in enumerate(self.applied):
            epochs = [epoch for _, epoch in done]
            assert epochs == sorted(epochs), "an owner that was taken over went on"
            assert all(len({me for me, one in done if one == epoch}) == 1 for epoch in epochs)
            assert len(done) == self.next[partition]

    @invariant()
    def a_plan_takes_no_more_than_its_share(self) -> None:
        held = Counter(row.owner for row in self.rows if row.live and row.owner)
        for me in REPLICAS:
            wanted = plan(self.rows, me)
            others = len([name for name in held if name != me])
            assert len({row.partition for row in wanted}) == len(wanted)
            assert held[me] + len(wanted) <= max(held[me], -(-PARTITIONS // (others + 1)))
            for row in wanted:
                assert row.owner != me or not row.live
                assert not row.live or row.owner is None or held[row.owner] > 1

    def teardown(self) -> None:
        """Left alone, the replicas end up with equal shares, and nothing is free."""
        for _ in range(PARTITIONS * len(REPLICAS)):
            for me in REPLICAS:
                for row in plan(self.rows, me):
                    self._take(me, row)
        held = Counter(row.owner for row in self.rows if row.live)
        assert None not in held
        assert sum(held.values()) == PARTITIONS
        assert max(held.values()) - min(held[me] for me in REPLICAS) <= 1


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
