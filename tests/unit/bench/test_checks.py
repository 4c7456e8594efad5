from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from bench import checks
from bench.checks import Losses
from bench.intake_load import Answer
from bench.spine_service import Result
from funnel.contracts import Cause, Identifier, LeadAssignment, LeadScore, Rep

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def result(person: str, applied: int, last: int | None = None, disorder: int = 0) -> Result:
    return Result(person, applied, applied if last is None else last, disorder)


class TestOfSpine:
    def test_results_that_end_with_every_event_in_order_are_right(self) -> None:
        results = [result("a", 1), result("b", 2), result("a", 2)]
        assert checks.of_spine(results, people=2, each=2) == Losses(0, 0, 0)

    def test_an_event_without_effect_is_lost(self) -> None:
        assert checks.of_spine([result("a", 1, last=2, disorder=1)], people=1, each=2) == Losses(1, 0, 1)

    def test_a_person_without_any_result_lost_every_event(self) -> None:
        assert checks.of_spine([result("a", 2)], people=2, each=2) == Losses(2, 0, 1)

    def test_an_event_applied_twice_leaves_a_wrong_state(self) -> None:
        assert checks.of_spine([result("a", 3, last=2, disorder=1)], people=1, each=2) == Losses(0, 0, 1)

    def test_the_same_result_again_is_repeated_and_does_no_other_harm(self) -> None:
        assert checks.of_spine([result("a", 1), result("a", 1), result("a", 2)], people=1, each=2) == Losses(0, 1, 0)

    def test_events_out_of_order_leave_a_wrong_state(self) -> None:
        assert checks.of_spine([result("a", 2, disorder=1)], people=1, each=2) == Losses(0, 0, 1)


class TestOfEvents:
    def test_one_result_per_event_is_right(self) -> None:
        assert checks.of_events([("a", 1), ("a", 2)], people=1, each=2, totals={"a": 2}) == Losses(0, 0, 0)

    def test_missing_and_repeated_results_are_told_apart(self) -> None:
        found = checks.of_events([("a", 1), ("a", 1), ("b", 2)], people=2, each=2, totals={"a": 2, "b": 1})
        assert found == Losses(lost=2, repeated=1, wrong=1)


def test_losses_are_said_in_words_and_their_absence_is_not() -> None:
    assert checks.problems_of(Losses(0, 0, 0)) == []
    assert checks.problems_of(Losses(1, 2, 0)) == ["1 events had no effect", "2 results came twice"]


class TestOfTouches:
    EXPECTED = frozenset({("web", "1"), ("web", "2")})

    def test_each_event_kept_once_is_right(self) -> None:
        assert checks.of_touches([("web", "2"), ("web", "1")], self.EXPECTED) == []

    def test_missing_foreign_and_doubled_events_are_named(self) -> None:
        assert checks.of_touches([("web", "1"), ("web", "1"), ("shop", "9")], self.EXPECTED) == [
            "1 events are missing, such as ('web', '2')",
            "1 events were never sent, such as ('shop', '9')",
            "1 events were applied twice, such as ('web', '1')",
        ]


def score(lead: str, version: int, email: str | None = None, **fields: Any) -> LeadScore:
    return LeadScore(
        lead_id=lead,
        version=version,
        stage="mql",
        score=60,
        fit=10,
        engagement=50,
        qualified=True,
        mode="live",
        at=NOW,
        created_at=NOW,
        identifiers=[Identifier(kind="email", value=email)] if email else [],
        config_version="1",
        caused_by=Cause(source="web", event_id="1"),
        **fields,
    )


class TestOfScores:
    def test_versions_from_one_and_a_lead_per_address_are_right(self) -> None:
        scores = [score("a", 1, "a@x"), score("b", 1, "b@x"), score("a", 2, "a@x")]
        assert checks.of_scores(scores, leads=2, emails={"a@x", "b@x"}) == []

    def test_a_version_that_is_missing_or_comes_again_is_named(self) -> None:
        assert checks.of_scores([score("a", 2, "a@x")], 1, {"a@x"}) == [
            "1 versions are not the next of their lead, such as a version 2"
        ]
        assert checks.of_scores([score("a", 1, "a@x"), score("a", 1, "a@x")], 1, {"a@x"}) == [
            "1 versions are not the next of their lead, such as a version 1"
        ]

    def test_one_person_as_two_leads_is_named(self) -> None:
        assert checks.of_scores([score("a", 1, "a@x"), score("b", 1, "a@x")], 1, {"a@x"}) == [
            "1 addresses belong to two leads, such as a@x",
            "2 leads, 1 people gave their name",
        ]

    def test_a_person_who_is_no_lead_is_named(self) -> None:
        assert checks.of_scores([score("a", 1)], 1, {"a@x"}) == ["1 addresses belong to no lead, such as a@x"]


def assignment(lead: str, **fields: Any) -> LeadAssignment:
    values: dict[str, Any] = {
        "assignment_id": f"of-{lead}",
        "lead_id": lead,
        "epoch": 1,
        "version": 1,
        "status": "assigned",
        "at": NOW,
        "rep": Rep(id="r"),
        "pool": "sales",
        "assigned_at": NOW,
        "config_version": "1",
    }
    return LeadAssignment(**values | fields)


class TestOfAssignments:
    def test_each_qualified_lead_assigned_once_is_right(self) -> None:
        assert checks.of_assignments([assignment("a"), assignment("b")], {"a", "b"}) == []

    def test_everything_else_is_named(self) -> None:
        given = [assignment("a"), assignment("a", status="revoked"), assignment("c")]
        assert checks.of_assignments(given, {"a", "b"}) == [
            "1 qualified leads are not assigned, such as b",
            "1 leads are assigned and not qualified, such as c",
            "1 leads are assigned twice, such as a",
            "1 records are no first assignment, such as of-a",
        ]


ONE = Answer(202, '{"event_id": "a", "status": "accepted"}')


class TestOfAnswers:
    def test_answers_that_name_what_was_posted_are_right(self) -> None:
        results = """{"results": [
            {"index": 0, "event_id": "b", "status": "accepted", "detail": null},
            {"index": 1, "event_id": "c", "status": "accepted", "detail": null}
        ]}"""
        assert checks.of_answers([ONE, Answer(202, results)], [["a"], ["b", "c"]]) == []

    def test_refused_posts_are_counted_by_status(self) -> None:
        assert checks.of_answers([Answer(503, ""), Answer(0, ""), Answer(503, ""), ONE], [["a"]] * 4) == [
            "2 posts were answered 503",
            "1 posts were answered 0",
        ]

    def test_an_answer_about_another_event_is_wrong(self) -> None:
        assert checks.of_answers([ONE], [["b"]]) == ["1 answers do not name what was posted"]

    def test_an_event_that_came_only_into_the_spool_is_no_like_for_like(self) -> None:
        spooled = Answer(202, '{"event_id": "a", "status": "accepted", "spooled": true}')
        assert checks.of_answers([spooled], [["a"]]) == ["1 answers do not name what was posted"]

    def test_nor_is_one_in_a_batch(self) -> None:
        spooled = '{"index": 0, "event_id": "a", "status": "accepted", "spooled": true}'
        stored = '{"index": 1, "event_id": "b", "status": "accepted"}'
        answer = Answer(202, f'{{"results": [{spooled}, {stored}]}}')
        assert checks.of_answers([answer], [["a", "b"]]) == ["1 answers do not name what was posted"]

    def test_a_batch_must_be_answered_whole_in_order_and_as_stored(self) -> None:
        def told(*results: tuple[str, str]) -> Answer:
            items = [f'{{"index": {i}, "event_id": "{id_}", "status": "{s}"}}' for i, (id_, s) in enumerate(results)]
            return Answer(202, f'{{"results": [{", ".join(items)}]}}')

        answers = [
            told(("a", "accepted")),
            told(("b", "accepted"), ("a", "accepted")),
            told(("a", "accepted"), ("b", "retry")),
        ]
        assert checks.of_answers(answers, [["a", "b"]] * 3) == ["3 answers do not name what was posted"]


class TestOfStored:
    POSTED: ClassVar[list[dict[str, Any]]] = [
        {"event_id": "1", "person": {"name": "佐藤"}, "occurred_at": "2026-11-22T09:00:00+09:00"},
        {"event_id": "2"},
    ]

    def test_what_a_service_adds_and_how_it_writes_times_is_its_own_business(self) -> None:
        stored: list[dict[str, Any]] = [
            {"event_id": "2", "source": "bench"},
            {"event_id": "1", "person": {"name": "佐藤"}, "occurred_at": "2026-11-22T00:00:00Z"},
        ]
        assert checks.of_stored(stored, self.POSTED) == []

    def test_everything_else_is_named(self) -> None:
        stored: list[dict[str, Any]] = [
            {"event_id": "1", "person": {}},
            {"event_id": "1", "person": {"name": "佐藤"}},
            {"event_id": "3"},
        ]
        assert checks.of_stored(stored, self.POSTED) == [
            "1 events are missing, such as 2",
            "1 events were never posted, such as 3",
            "1 events are stored twice, such as 1",
            "1 events were changed, such as 1",
        ]


def test_a_lead_counts_as_qualified_from_any_of_its_versions() -> None:
    assert checks.qualified([score("a", 1), score("a", 2)]) == {"a"}
