"""How replicas share leases, played without a database."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from funnel.spine.sharing import LeaseRow, plan


def rows(*owners: str | None, live: bool = True) -> list[LeaseRow]:
    return [LeaseRow("lead-events", n, owner, 1, live) for n, owner in enumerate(owners)]


def play(table: list[LeaseRow], replicas: list[str], rounds: int) -> list[LeaseRow]:
    for _ in range(rounds):
        for replica in replicas:
            for wanted in plan(table, replica):
                table[wanted.partition] = replace(wanted, owner=replica, live=True, epoch=wanted.epoch + 1)
    return table


def test_a_lone_replica_takes_everything_that_is_free() -> None:
    assert len(plan(rows(*[None] * 12), "a")) == 12


def test_a_newcomer_steals_no_more_than_its_fair_share() -> None:
    taken = plan(rows(*["a"] * 12), "b")
    assert len(taken) == 6


def test_leases_that_ran_out_are_taken_before_any_is_stolen() -> None:
    table = [*rows("a", "a", "a"), *[replace(r, partition=r.partition + 3) for r in rows("x", "x", "x", live=False)]]
    assert {row.owner for row in plan(table, "b")} == {"x"}


def test_nothing_is_taken_when_shares_are_even() -> None:
    assert plan(rows("a", "b", "a", "b"), "a") == []


def test_a_single_duty_is_not_stolen() -> None:
    assert plan([LeaseRow("#outbox", 0, "a", 3, True)], "b") == []


@given(st.integers(1, 24), st.integers(1, 7), st.data())
def test_any_start_becomes_even_and_then_stays(partitions: int, replicas: int, data: st.DataObject) -> None:
    names = [f"r{n}" for n in range(replicas)]
    owners = data.draw(st.lists(st.sampled_from([None, *names]), min_size=partitions, max_size=partitions))
    table = play(rows(*owners), names, rounds=replicas + 2)
    counts = Counter(row.owner for row in table)
    shares = [counts[name] for name in names]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1
    assert all(plan(table, name) == [] for name in names)
