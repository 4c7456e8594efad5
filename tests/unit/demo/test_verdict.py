"""The verdict: silent when all is well, and naming each way in which it could not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from funnel.contracts import LeadAssignment, LeadDecision, LeadScore
from funnel.demo.people import people
from funnel.demo.show import as_json, leads_table, sentence
from funnel.demo.verdict import Count, Observed, Posted, active, is_quiet, judge, places
from tests.unit.demo.records import applied, assigned, held, score

PEOPLE = people(7, 4)
LEADS = ("lead-0", "lead-1", "lead-2", "lead-3")
POSTED = Posted(PEOPLE, events=Count(12, 0, 10), outcomes=Count(3, 0, 2))


def ledger(**leads: int) -> dict[str, dict[str, int]]:
    states = {"nurturing": 1, "pending": 0, "assigned": 1, "held": 1, "closed": 1} | leads
    return {
        "events": {"accepted": 12, "applied": 10, "duplicates": 2, "quarantined": 0, "in_flight": 0, "unaccounted": 0},
        "outcomes": {"accepted": 3, "applied": 2, "duplicates": 1, "quarantined": 0, "in_flight": 0, "unaccounted": 0},
        "leads": {"total": 4, "unaccounted": 0} | states,
        "assignments": {"active": 1, "published": 5, "unpublished": 0},
    }


ASSIGNMENTS = (
    assigned("lead-0", 1, rep="kato"),
    assigned("lead-0", 1, rep="kato", status="revoked"),
    assigned("lead-0", 2, rep="brandt"),
    assigned("lead-2", 1, rep="kato"),
    assigned("lead-2", 1, rep="kato", status="closed"),
)
DECISIONS = (held("lead-1"), applied("lead-2", "closed", version=3))


def observed(
    *,
    scores: Sequence[LeadScore] | None = None,
    assignments: Sequence[LeadAssignment] = ASSIGNMENTS,
    decisions: Sequence[LeadDecision] = DECISIONS,
    books: dict[str, dict[str, int]] | None = None,
    found: dict[int, dict[str, str | None]] | None = None,
) -> Observed:
    given = scores or [score(lead, qualified=lead != "lead-3") for lead in LEADS]
    whose: dict[int, dict[str, str | None]] = {
        person.number: {person.email: lead, f" {person.email.upper()}": lead}
        for person, lead in zip(PEOPLE, LEADS, strict=True)
    }
    return Observed({one.lead_id: one for one in given}, assignments, decisions, books or ledger(), found or whose)


def test_all_well_is_silent() -> None:
    assert judge(POSTED, observed()) == []


def test_each_lead_has_a_place_with_rep_or_reason() -> None:
    first, second, third, fourth = places(POSTED, observed())
    assert (first.state, first.rep, first.handovers) == ("assigned", "Brandt", 2)
    assert (second.state, second.reason, second.pool) == ("held", "all_at_capacity", "inside")
    assert (third.state, third.stage, third.rep) == ("closed", "lost", None)
    assert (fourth.state, fourth.rep) == ("nurturing", None)
    assert first.why_score == "form submitted +50"


def test_a_held_lead_keeps_its_reason_when_something_else_is_decided_about_it() -> None:
    seen = observed(decisions=(*DECISIONS, applied("lead-1", "held", version=3)))
    assert places(POSTED, seen)[1].reason == "all_at_capacity"
    assert judge(POSTED, seen) == []


def whose(number: int, **leads: str | None) -> dict[int, dict[str, str | None]]:
    found = {**observed().found}
    found[number] = {PEOPLE[number].email: leads["first"], "again": leads["again"]}
    return {key: dict(value) for key, value in found.items()}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"found": whose(1, first="lead-1", again=None)}, "unaccounted: "),
        ({"found": whose(1, first="lead-1", again="lead-9")}, "counted twice: "),
        ({"found": whose(1, first="lead-0", again="lead-0")}, "mixed up: "),
        ({"scores": [score("lead-8"), *observed().scores.values()]}, "unaccounted: 1 leads on lead-scores"),
        ({"assignments": (*ASSIGNMENTS, assigned("lead-0", 3))}, "assigned twice: lead lead-0 to kato while brandt"),
        ({"assignments": (*ASSIGNMENTS, ASSIGNMENTS[2])}, "published twice: assignment lead-0/2 assigned"),
        ({"assignments": ASSIGNMENTS[1:]}, "wrong order: lead lead-0 is revoked without having been assigned"),
        ({"assignments": ASSIGNMENTS[2:]}, "wrong order: lead lead-0 is assigned in epoch 2 after None"),
        ({"decisions": (held("lead-1", reason=None), DECISIONS[1])}, "held without a reason: "),
        ({"decisions": DECISIONS[1:]}, "unassigned without a reason: "),
        ({"decisions": (applied("lead-1", "nurturing", version=2), DECISIONS[1])}, "unassigned without a reason: "),
        ({"assignments": (*ASSIGNMENTS, assigned("lead-3", 1))}, "assigned too early: "),
        ({"books": ledger(total=3)}, "ledger: leads.total is 3, expected 4"),
        ({"books": ledger(unaccounted=1)}, "ledger: leads.unaccounted is 1, expected 0"),
        ({"books": ledger(held=0, pending=1)}, "ledger: leads.held is 0, expected 1"),
        ({"books": {"events": {}}}, "ledger: events.accepted is 0, expected 12"),
    ],
)
def test_what_is_not_as_promised_is_named(change: dict[str, Any], problem: str) -> None:
    assert any(found.startswith(problem) for found in judge(POSTED, observed(**change)))


def test_more_posted_than_counted_is_named() -> None:
    problems = judge(replace(POSTED, events=Count(13, 0, 11)), observed())
    assert "ledger: events.accepted is 12, expected 13" in problems
    assert "ledger: events.applied is 10, expected 11" in problems


def test_an_attempt_without_an_answer_may_have_been_stored_or_not() -> None:
    assert judge(replace(POSTED, events=Count(11, 1, 10)), observed()) == []
    assert judge(replace(POSTED, events=Count(12, 1, 10)), observed()) == []
    assert "ledger: events.accepted is 12, expected 10" in judge(replace(POSTED, events=Count(10, 1, 10)), observed())


def test_it_is_quiet_when_everything_posted_was_read_decided_and_published() -> None:
    assert is_quiet(POSTED, ledger())
    assert not is_quiet(replace(POSTED, events=Count(13, 0, 11)), ledger())
    assert not is_quiet(POSTED, ledger(pending=1))
    assert not is_quiet(POSTED, ledger() | {"assignments": {"unpublished": 1}})
    assert not is_quiet(POSTED, ledger() | {"events": ledger()["events"] | {"in_flight": 1}})


def test_the_last_assigned_record_not_yet_ended_is_the_active_one() -> None:
    assert active(ASSIGNMENTS) == {"lead-0": ASSIGNMENTS[2]}


def test_the_table_has_a_line_for_each_lead_and_the_sentence_counts_them() -> None:
    found = places(POSTED, observed())
    assert leads_table(found).row_count == 4
    assert sentence(found) == (
        "Everything is accounted for: 4 leads, 1 assigned, 1 held, 1 closed, 1 nurturing; 1 went to a second rep."
    )


def test_the_json_names_the_qualified_by_address() -> None:
    seen = observed()
    report = as_json(7, places(POSTED, seen), seen, [])
    assert report["qualified"] == sorted(person.email for person in PEOPLE[:3])
    assert [lead["state"] for lead in report["leads"]] == ["assigned", "held", "closed", "nurturing"]
