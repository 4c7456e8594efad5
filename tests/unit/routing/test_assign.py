"""Draining a pool's queue."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.routing.domain.assign import Choice, Chosen, Hold, Queued, choose, drain
from services.routing.domain.pool import Pool, Rep
from tests.unit.routing.given import START, at, lead_id, pool, rep


def queued(number: int, score: int = 60, minutes: float = 0, **fields: object) -> Queued:
    return Queued(lead_id(number), score, at(minutes), **fields)  # type: ignore[arg-type]


def reps(*some: Rep) -> dict[str, Rep]:
    return {one.rep_id: one for one in some}


def owners(team: Pool, members: dict[str, Rep], *queue: Queued) -> list[tuple[int, str | None]]:
    verdicts = drain(team, queue, members, START).verdicts
    return [(int(one.lead_id.replace("-", ""), 16), one.rep) for one in verdicts]


def test_the_queue_is_drained_by_score_then_waiting_time_then_id() -> None:
    queue = [queued(1, 50, 0), queued(4, 60, 5), queued(3, 60, 5), queued(2, 60, 9), queued(5, 90, 99)]
    given_away = owners(pool("a"), reps(rep("a")), *queue)
    assert [lead for lead, _ in given_away] == [5, 3, 4, 2, 1]


def test_the_best_leads_get_the_last_slots_and_the_others_are_held() -> None:
    given_away = owners(pool("a"), reps(rep("a", 1)), queued(1, 10), queued(2, 90))
    assert given_away == [(2, "a"), (1, None)]


def test_an_inactive_rep_gets_nothing() -> None:
    drained = drain(pool("a", "b"), [queued(1), queued(2)], reps(rep("a", active=False), rep("b")), START)
    assert [one.rep for one in drained.verdicts] == ["b", "b"]
    assert [one.skipped for one in drained.verdicts[0].candidates] == ["inactive", None]


def test_who_rejected_a_lead_is_passed_over() -> None:
    verdict = drain(pool("a", "b"), [queued(1, excluded=("a",))], reps(rep("a"), rep("b")), START).verdicts[0]
    assert verdict.rep == "b"
    assert [one.skipped for one in verdict.candidates] == ["rejected_before", None]


def test_the_former_owner_gets_a_lead_back_without_a_turn_of_the_rotation() -> None:
    team = pool("a", "b")
    drained = drain(team, [queued(1, preferred="b")], reps(rep("a"), rep("b")), START)
    assert (drained.verdicts[0].rep, drained.verdicts[0].reason) == ("b", Choice.FORMER_OWNER)
    assert drained.pool.members == team.members


def test_a_former_owner_who_cannot_take_it_is_replaced() -> None:
    drained = drain(pool("a", "b"), [queued(1, preferred="b")], reps(rep("a"), rep("b", 0)), START)
    assert (drained.verdicts[0].rep, drained.verdicts[0].reason) == ("a", Choice.ROTATION)


def test_each_hold_has_the_reason_that_would_end_first() -> None:
    team = pool("a", "b")
    away, full, free = rep("a", active=False), rep("a", 0), rep("a")
    cases = [
        (pool(), reps(), (), Hold.NO_REPS),
        (team, reps(away, rep("b", active=False)), (), Hold.ALL_INACTIVE),
        (team, reps(full, rep("b", 0)), (), Hold.ALL_AT_CAPACITY),
        (team, reps(full, rep("b", active=False)), (), Hold.ALL_AT_CAPACITY),
        (team, reps(free, rep("b")), ("a", "b"), Hold.ALL_REJECTED),
        (team, reps(away, rep("b")), ("b",), Hold.ALL_INACTIVE),
        (team, reps(full, rep("b")), ("b",), Hold.ALL_AT_CAPACITY),
    ]
    for one_team, members, excluded, reason in cases:
        verdict = drain(one_team, [queued(1, excluded=excluded)], members, START).verdicts[0]
        assert (verdict.rep, verdict.reason) == (None, reason)


def test_a_lead_that_was_held_and_stays_held_needs_no_new_decision() -> None:
    drained = drain(pool("a"), [queued(1, fresh=False), queued(2)], reps(rep("a", 0)), START)
    assert [one.lead_id for one in drained.verdicts] == [lead_id(2)]
    assert drained.pool.decisions == 1


def test_a_rep_over_a_lowered_capacity_gets_nothing() -> None:
    assert owners(pool("a"), reps(rep("a", 2, open=5)), queued(1)) == [(1, None)]


MEMBERS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.integers(1, 5), st.integers(0, 4), st.integers(0, 5), st.booleans()),
    max_size=6,
)
QUEUE = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sets(st.sampled_from("abcdef"), max_size=3), st.booleans()),
    max_size=20,
)


@given(MEMBERS, QUEUE)
def test_whatever_the_queue_capacity_holds_and_nobody_is_passed_over_who_could_be_served(
    members: dict[str, tuple[int, int, int, bool]], queue: list[tuple[int, int, set[str], bool]]
) -> None:
    team = pool(*((name, weight) for name, (weight, _, _, _) in members.items()))
    staff = {name: rep(name, cap, open=open_, active=active) for name, (_, cap, open_, active) in members.items()}
    waiting = [
        queued(number, score, minutes, excluded=tuple(sorted(excluded)), fresh=fresh)
        for number, (score, minutes, excluded, fresh) in enumerate(queue)
    ]
    drained = drain(team, waiting, staff, START)

    taken = {one.lead_id: one.rep for one in drained.verdicts if one.rep}
    for name, after in drained.reps.items():
        assert after.open == staff[name].open + list(taken.values()).count(name)
        assert after.open <= max(after.capacity, staff[name].open)
        assert after.active or after.open == staff[name].open
    for one in waiting:
        assert taken.get(one.lead_id) not in one.excluded
        if one.lead_id not in taken:
            assert not any(after.free for name, after in drained.reps.items() if name not in one.excluded)
    assert [one.number for one in drained.verdicts] == list(range(1, len(drained.verdicts) + 1))
    assert {one.lead_id for one in waiting if one.fresh} <= {one.lead_id for one in drained.verdicts}


@given(MEMBERS, QUEUE)
def test_the_record_of_a_decision_gives_the_same_choice_again(
    members: dict[str, tuple[int, int, int, bool]], queue: list[tuple[int, int, set[str], bool]]
) -> None:
    team = pool(*((name, weight) for name, (weight, _, _, _) in members.items()))
    staff = {name: rep(name, cap, open=open_, active=active) for name, (_, cap, open_, active) in members.items()}
    waiting = [queued(number, one[0], one[1], excluded=tuple(sorted(one[2]))) for number, one in enumerate(queue)]
    for verdict in drain(team, waiting, staff, START + timedelta(days=1)).verdicts:
        again = choose(verdict.candidates)
        assert verdict.rep == (again.rep if isinstance(again, Chosen) else None)
        assert verdict.reason == (again.reason if isinstance(again, Chosen) else again)
