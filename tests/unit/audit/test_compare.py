"""The rules, one record or row at a time: what fits is no doubt, and each way of not fitting is one of its kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from funnel.audit.auditor import READERS
from funnel.audit.compare import AssignmentRow, LeadRow, Leads, Tables, judge_leads, judge_records, repeats
from funnel.audit.findings import Kind
from funnel.audit.logs import next_spans, spot_name, spot_of
from funnel.audit.seen import Assigned, Scored, Seen, seen
from tests.integration.metrics.funnel_play import record_of
from tests.unit.metrics.records import LEAD, NOON, assignment, event, score

ASSIGNED = Seen(
    ("lead-assignments", 1, 7), "routing", "a-1:assigned", b"h", LEAD, Assigned("a-1", 1, "r-1", "assigned")
)
CLOSED = replace(ASSIGNED, event_id="a-1:closed", claim=Assigned("a-1", 1, "r-1", "closed"))
SCORED = Seen(("lead-scores", 1, 7), "scoring", f"{LEAD}:2", b"h", LEAD, Scored(2))
EVENT = Seen(("lead-events", 1, 7), "web", "e-1", b"h")
ROW = AssignmentRow("a-1", LEAD, 1, "r-1", "active", NOON, None)
ENDED = replace(ROW, status="closed", ended_at=NOON)
PASSED = (0, 8)


def tables(record: Seen, **changed: object) -> Tables:
    """Tables into which `record` fits: every reader is past it and has it in its inbox."""
    topic, partition, _ = record.place
    readers = READERS[topic]
    fitting = Tables(
        spans={(service, topic, partition): PASSED for service in readers},
        inboxes={service: {record.identity: record.hash} for service in readers},
        scored={LEAD: 2},
        taken={LEAD: 2},
        assignments={"a-1": ENDED},
    )
    return replace(fitting, **changed)  # type: ignore[arg-type]


def kinds(record: Seen, found: Tables) -> list[Kind]:
    return [doubt.kind for doubt in judge_records([record], found, READERS)]


@pytest.mark.parametrize("record", [ASSIGNED, CLOSED, SCORED, EVENT])
def test_what_fits_is_no_doubt(record: Seen) -> None:
    assert kinds(record, tables(record)) == []


@pytest.mark.parametrize("span", [(0, 7), (8, 20)])
def test_an_offset_the_reader_has_not_read_needs_no_effect(span: tuple[int, int]) -> None:
    unread = {(service, "lead-events", 1): span for service in READERS["lead-events"]}
    assert kinds(EVENT, tables(EVENT, spans=unread, inboxes={})) == []


def test_each_reader_without_the_record_is_a_doubt_of_its_own() -> None:
    doubts = judge_records([EVENT], tables(EVENT, inboxes={}), READERS)
    assert {(doubt.kind, doubt.what) for doubt in doubts} == {
        (Kind.EFFECTS_LOST, "lead-events/1/7 for scoring"),
        (Kind.EFFECTS_LOST, "lead-events/1/7 for metrics"),
    }


def test_a_quarantined_record_is_accounted_for() -> None:
    quarantined = {service: {EVENT.place} for service in READERS["lead-events"]}
    assert kinds(EVENT, tables(EVENT, inboxes={}, quarantined=quarantined)) == []


def test_another_body_under_an_id_is_for_outsiders_to_quarantine_and_for_us_never_right() -> None:
    other = {service: {EVENT.identity: b"other"} for service in READERS["lead-events"]}
    quarantined = {service: {EVENT.place} for service in READERS["lead-events"]}
    assert kinds(EVENT, tables(EVENT, inboxes=other)) == [Kind.IDS_REUSED] * 2
    assert kinds(EVENT, tables(EVENT, inboxes=other, quarantined=quarantined)) == []
    ours = tables(ASSIGNED, inboxes={"metrics": {ASSIGNED.identity: b"o"}}, quarantined={"metrics": {ASSIGNED.place}})
    assert kinds(ASSIGNED, ours) == [Kind.IDS_REUSED]


@pytest.mark.parametrize("scored", [{}, {LEAD: 1}])
def test_a_score_above_the_row_was_never_committed(scored: dict[str, int]) -> None:
    assert kinds(SCORED, tables(SCORED, scored=scored)) == [Kind.SCORES_AHEAD]


@pytest.mark.parametrize("taken", [{}, {LEAD: 1}])
def test_a_score_that_routing_passed_and_does_not_know(taken: dict[str, int]) -> None:
    assert kinds(SCORED, tables(SCORED, taken=taken)) == [Kind.LEADS_UNTAKEN]
    assert kinds(SCORED, tables(SCORED, taken=taken, quarantined={"routing": {SCORED.place}})) == []
    assert kinds(SCORED, tables(SCORED, taken=taken, spans={})) == []


def test_an_assignment_that_no_row_knows() -> None:
    assert kinds(ASSIGNED, tables(ASSIGNED, assignments={})) == [Kind.ASSIGNMENTS_UNKNOWN]


@pytest.mark.parametrize(
    ("record", "row", "differs"),
    [
        (ASSIGNED, replace(ENDED, lead_id="other"), ["lead_id"]),
        (ASSIGNED, replace(ENDED, epoch=2), ["epoch"]),
        (ASSIGNED, replace(ENDED, rep="r-2"), ["rep"]),
        (CLOSED, ROW, ["status"]),
        (CLOSED, replace(ENDED, status="revoked", rep="r-2"), ["rep", "status"]),
    ],
)
def test_an_assignment_that_the_row_tells_otherwise(record: Seen, row: AssignmentRow, differs: list[str]) -> None:
    (doubt,) = judge_records([record], tables(record, assignments={"a-1": row}), READERS)
    assert (doubt.kind, doubt.detail) == (Kind.ASSIGNMENTS_DIFFER, {"differs": differs})


@pytest.mark.parametrize(
    ("place", "kind"),
    [(("lead-assignments", 0, 1), Kind.ASSIGNMENTS_UNKNOWN), (("lead-scores", 0, 1), Kind.SCORES_AHEAD)],
)
def test_what_nobody_can_read_is_known_to_nobody(place: tuple[str, int, int], kind: Kind) -> None:
    broken = Seen(place, "x", "y", b"h", broken=True)
    assert kinds(broken, Tables()) == [kind]


def published(*rows: AssignmentRow) -> set[tuple[str, str]]:
    return {("routing", f"{row.assignment_id}:{status}") for row in rows for status in ("assigned", row.status)}


def test_rows_that_were_published_are_no_doubt() -> None:
    second = replace(ROW, assignment_id="a-2", epoch=2)
    leads = Leads([LeadRow(LEAD, 2, NOON)], [ENDED, second], published(ENDED, second) | {("scoring", f"{LEAD}:2")})
    assert judge_leads(leads) == []


def test_rows_of_which_the_topic_knows_nothing() -> None:
    doubts = judge_leads(Leads([LeadRow(LEAD, 2, NOON)], [ENDED], set()))
    assert [(doubt.kind, doubt.what) for doubt in doubts] == [
        (Kind.SCORES_UNPUBLISHED, f"{LEAD}:2"),
        (Kind.ASSIGNMENTS_UNPUBLISHED, "a-1:assigned"),
        (Kind.ASSIGNMENTS_UNPUBLISHED, "a-1:closed"),
    ]


def test_what_is_older_than_the_witness_is_not_judged() -> None:
    later = datetime(2027, 1, 1, tzinfo=UTC)
    since = {"lead-scores": later, "lead-assignments": later}
    assert judge_leads(Leads([LeadRow(LEAD, 2, NOON)], [ENDED], set(), since)) == []
    ended_later = replace(ENDED, ended_at=later)
    (doubt,) = judge_leads(Leads([], [ended_later], set(), since))
    assert doubt.what == "a-1:closed"


@pytest.mark.parametrize(
    "rows",
    [
        [ROW, replace(ROW, assignment_id="a-2", epoch=2)],
        [ENDED, replace(ENDED, assignment_id="a-2")],
    ],
)
def test_two_active_assignments_and_two_of_one_epoch_are_doubled(rows: list[AssignmentRow]) -> None:
    assert [one.kind for one in judge_leads(Leads([], rows, published(*rows)))] == [Kind.ASSIGNMENTS_DOUBLED]


def test_each_repeat_is_a_doubt_of_its_own() -> None:
    assert [one.what for one in repeats({2: 1, 0: 2})] == [
        "lead-assignments/0 repeat 1",
        "lead-assignments/0 repeat 2",
        "lead-assignments/2 repeat 1",
    ]


class _Record:
    """A record as the client gives it."""

    def __init__(self, topic: str, told: object, **changed: object) -> None:
        made = record_of(topic, told)
        self.topic, self.partition, self.offset, self.timestamp = topic, 1, 7, 0
        self.key, self.value, self.headers = made.key, made.value, list(made.headers.items())
        vars(self).update(changed)


def test_a_record_is_remembered_by_its_identity_and_what_it_claims() -> None:
    found = seen("lead-scores", _Record("lead-scores", score(3)))
    assert (found.identity, found.lead_id, found.claim) == (("scoring", f"{LEAD}:3"), LEAD, Scored(3))
    told = seen("lead-assignments", _Record("lead-assignments", assignment(1, "closed", epoch=2)))
    assert told.claim == Assigned(f"{LEAD}/2", 2, "r-1", "closed")
    plain = seen("lead-events", _Record("lead-events", event()))
    assert (plain.identity, plain.lead_id, plain.claim) == (("web", "e-1"), None, None)


def test_a_foreign_record_is_named_as_its_readers_name_it() -> None:
    bare = _Record("lead-outcomes", event(), value=b'{"type": "accepted", "event_id": "o-1"}', headers=[])
    assert seen("lead-outcomes", bare).identity == ("kafka:lead-outcomes", "o-1")
    nameless = _Record("lead-outcomes", event(), value=b'{"type": "accepted"}', headers=[])
    assert seen("lead-outcomes", nameless).identity == ("kafka:lead-outcomes", "lead-outcomes/1/7")
    assert seen("lead-assignments", _Record("lead-assignments", assignment(1), value=b"{")).broken


def test_the_walk_passes_every_offset_once() -> None:
    bounds = {("a", 0): (0, 3), ("a", 1): (5, 5), ("b", 0): (2, 9)}
    passed, at = [], None
    while True:
        spans, at = next_spans(bounds, spot_of(spot_name(at)), 4)
        passed += [(p, offset) for p, (begin, end) in spans.items() for offset in range(begin, end)]
        if at is None:
            break
    assert passed == [(p, offset) for p, (begin, end) in sorted(bounds.items()) for offset in range(begin, end)]
