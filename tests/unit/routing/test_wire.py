"""Records in and out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from funnel import ids
from funnel.contracts import (
    Amount,
    Contact,
    Identifier,
    LeadAssignment,
    LeadDecision,
    LeadScore,
    Person,
    Reason,
    Rep,
    ReportedOutcome,
)
from funnel.contracts.registry import decoder
from funnel.errors import Poison
from funnel.spine import Message
from services.routing.domain.lead import Cause, Facts
from services.routing.domain.lead_state import Report
from services.routing.domain.rules import parse_rules
from services.routing.wire import decode_outcome, decode_score, outcome_seen, published, score_seen
from tests.unit.routing.given import START, World, at, lead_id, outcome, pool, rep, score

RULES = parse_rules(
    "pools: {big: , sales: }\nrules: [{rule: large, pool: big, when: [{field: employees, at_least: 100}]},"
    " {rule: everyone, pool: sales}]",
    "routing.yaml",
)


@dataclass
class Place:
    """Where a record lies in its log."""

    topic: str = "lead-scores"
    partition: int = 0
    offset: int = 7
    timestamp: int = 1_764_000_000_000
    key: bytes | None = None
    value: bytes | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def message(value: Any, topic: str = "lead-scores") -> Message[Any]:
    return Message("scoring", "an-id", "lead.scored", topic, value, b"", Place(topic))


def lead_score(**fields: Any) -> LeadScore:
    known: dict[str, Any] = {
        "lead_id": lead_id(1),
        "version": 3,
        "stage": "mql",
        "score": 80,
        "fit": 20,
        "engagement": 60,
        "qualified": True,
        "qualified_at": at(5),
        "at": at(6),
        "created_at": at(0),
        "config_version": "v",
        "caused_by": {"source": "default", "event_id": "e"},
    }
    return msgspec.convert(known | fields, LeadScore)


def test_a_qualified_lead_is_routed_by_what_is_known_of_it() -> None:
    seen = score_seen(message(lead_score(person=Person(employees=100))), RULES)
    assert (seen.pool, seen.rule, seen.qualified_at, seen.live) == ("big", "large", at(5), True)
    assert score_seen(message(lead_score()), RULES).pool == "sales"


def test_a_lead_that_is_not_qualified_is_not_routed() -> None:
    seen = score_seen(message(lead_score(qualified=False, qualified_at=None, stage="engaged")), RULES)
    assert (seen.pool, seen.qualified_at) == (None, None)


def test_a_lead_is_named_by_address_number_and_external_id_but_not_by_a_cookie() -> None:
    identifiers = [
        Identifier(kind="email", value="a@example.com"),
        Identifier(kind="visitor", value="v"),
        Identifier(kind="external", value="crm:42"),
    ]
    seen = score_seen(message(lead_score(identifiers=identifiers)), RULES)
    assert seen.names == ("email:a@example.com", "external:crm:42")


def test_an_outcome_names_its_lead_in_the_words_of_scoring() -> None:
    identity = {"email": " Sato@Example.COM", "phone": "03-1234-5678", "external_ids": {"CRM": "42"}}
    body = msgspec.json.encode({"type": "won", "identity": identity})
    seen = outcome_seen(message(decode_outcome(body, None), "lead-outcomes"))
    assert seen.names == ("email:sato@example.com", "phone:+81312345678", "external:crm:42")
    assert seen.occurred_at == datetime.fromtimestamp(1_764_000_000, UTC)


def test_a_lead_id_is_compared_in_one_way_of_writing() -> None:
    body = b'{"type": "won", "lead_id": "%s"}' % lead_id(10).upper().encode()
    seen = outcome_seen(message(decode_outcome(body, None), "lead-outcomes"))
    assert seen.lead_id == lead_id(10)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"type": "won"}', "names no lead"),
        (b'{"type": "won", "identity": {"visitor_id": "v-1"}}', "names no lead"),
        (b'{"type": "won", "lead_id": "42"}', "lead_id: not a UUID"),
        (
            b'{"type": "lost", "lead_id": "00000000-0000-0000-0000-000000000001"}',
            "reason: an outcome of type lost needs",
        ),
        (b'{"type": "sold", "lead_id": "00000000-0000-0000-0000-000000000001"}', "type"),
    ],
)
def test_an_outcome_that_can_never_be_applied_is_poison(body: bytes, reason: str) -> None:
    with pytest.raises(Poison, match=reason):
        decode_outcome(body, None)


def test_a_score_about_no_lead_is_poison() -> None:
    with pytest.raises(Poison, match="not a UUID"):
        decode_score(msgspec.json.encode(lead_score(lead_id="x")), "lead_score.v1")


FACTS = Facts(
    grade="A",
    reasons=(Reason(rule="form", points=50),),
    contact=Contact(email="x@example.com", company="Example"),
    message="please call",
)


def records(world: World, *traces: tuple[Cause, str]) -> list[Any]:
    found = [published(one.records, "v1", dict(traces)) for one in world.all]
    return [record for batch in found for record in batch]


def test_an_assignment_record_tells_the_rep_everything() -> None:
    world = World([pool("a")], [rep("a")])
    seen = score(1, facts=FACTS, score=87)
    world.apply(seen)
    (one,) = records(world, (seen.cause, "00-trace"))
    value = decoder("lead-assignments")(one.value, one.ce_dataschema)
    identity = ids.assignment_id(lead_id(1), 1)
    assert (one.topic, one.key, one.ce_id, one.ce_type) == (
        "lead-assignments",
        lead_id(1),
        f"{identity}:assigned",
        "lead.assigned",
    )
    assert (one.ce_source, one.ce_time, one.traceparent) == ("routing", START, "00-trace")
    assert value == LeadAssignment(
        assignment_id=identity,
        lead_id=lead_id(1),
        epoch=1,
        version=1,
        status="assigned",
        why="rule everyone, pool sales, rotation",
        at=START,
        rep=Rep(id="a", name="A", email="a@example.com"),
        pool="sales",
        rule="everyone",
        score=87,
        grade="A",
        reasons=list(FACTS.reasons),
        assigned_at=START,
        contact=FACTS.contact,
        message="please call",
        config_version="v1",
    )


def test_an_assignment_record_has_every_field_of_the_contract() -> None:
    world = World([pool("a")], [rep("a")])
    world.apply(score(1))
    (one,) = records(world)
    assert set(msgspec.json.decode(one.value)) == set(LeadAssignment.__struct_fields__)


def test_the_records_of_a_rejected_lead_are_in_order_and_linked() -> None:
    world = World([pool("a", "b")], [rep("a"), rep("b")])
    world.apply(score(1))
    world.apply(outcome("rejected", 1, reason="wrong_region", event_id="r"))
    out = [one for one in records(world) if one.topic == "lead-assignments"]
    values = [msgspec.json.decode(one.value, type=LeadAssignment) for one in out]
    first, second = ids.assignment_id(lead_id(1), 1), ids.assignment_id(lead_id(1), 2)
    assert [one.ce_id for one in out] == [f"{first}:assigned", f"{first}:revoked", f"{second}:assigned"]
    assert [one.version for one in values] == [1, 3, 4]
    assert values[1].why == "rejected: wrong_region"
    assert values[1].outcome is not None
    assert values[1].outcome.event_id == "r"
    assert values[2].previous_assignment_id == first


def test_an_outcome_decision_carries_the_outcome_with_its_flags() -> None:
    world = World([pool("a", "b")], [rep("a"), rep("b")])
    world.apply(score(1))
    world.apply(outcome("rejected", 1))
    amount = Amount(value="1200000", currency="JPY")
    world.apply(outcome("won", 1, epoch=1, amount=amount, event_id="w", channel="phone"))
    one = records(world)[-1]
    value = msgspec.json.decode(one.value, type=LeadDecision)
    assert (one.ce_type, one.ce_id, one.key) == ("outcome.applied", value.decision_id, lead_id(1))
    assert (value.state, value.epoch, value.assignment_id) == ("assigned", 2, ids.assignment_id(lead_id(1), 2))
    assert value.outcome == ReportedOutcome(
        source="crm",
        event_id="w",
        type="won",
        occurred_at=at(1000),
        reason="because",
        amount=amount,
        channel="phone",
        flags=["stale_epoch"],
    )


def test_a_waiting_outcome_is_published_without_a_lead_and_without_a_personal_key() -> None:
    world = World()
    world.apply(outcome(Report.WON, names=("email:secret@example.com",)))
    (one,) = records(world)
    value = msgspec.json.decode(one.value, type=LeadDecision)
    assert (value.kind, value.lead_id, value.version) == ("outcome.waiting", None, None)
    assert b"secret" not in one.value
    assert one.key == value.decision_id


def test_decision_ids_are_unique_and_the_plain_assignment_has_no_decision_record() -> None:
    world = World([pool("a")], [rep("a", 1)])
    world.apply(score(1))
    world.apply(score(2))
    world.apply(outcome("accepted", 1))
    world.apply(outcome("won", 1))
    out = records(world)
    assert len({one.ce_id for one in out}) == len(out)
    assert [one.ce_type for one in out if one.topic == "lead-decisions"] == [
        "lead.held",
        "outcome.applied",
        "outcome.applied",
        "lead.released",
    ]


def test_every_record_satisfies_its_schema() -> None:
    world = World([pool("a", "b")], [rep("a", 1), rep("b", 1)])
    world.apply(score(1, facts=FACTS), score(2), score(3))
    world.apply(outcome("opportunity.opened", 1, deal_id="d"), outcome("rejected", 1))
    for one in records(world):
        decoder(one.topic)(one.value, one.ce_dataschema)
