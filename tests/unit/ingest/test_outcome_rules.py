"""Which outcomes are accepted, and what is stored for them."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.domain.kinds import OUTCOME
from tests.unit.ingest.given import FRESH_ID, LEAD_ID, accepted, an_outcome, faults, stored

A_UUID = "(a UUID)"


def test_the_least_outcome_is_stored_with_what_ingest_adds() -> None:
    assert stored(an_outcome(), OUTCOME, source="sfa") == {
        "type": "contacted",
        "lead_id": LEAD_ID,
        "event_id": FRESH_ID,
        "occurred_at": "2026-11-22T09:00:00.000000Z",
        "received_at": "2026-11-22T09:00:00.000000Z",
        "source": "sfa",
        "mode": "live",
    }


def test_its_envelope_has_the_type_under_outcome() -> None:
    headers = dict(accepted(an_outcome(type="won"), OUTCOME).headers)
    assert headers["ce_type"] == b"outcome.won"
    assert headers["ce_dataschema"] == b"lead_outcome.v1"


def test_a_full_outcome_is_stored_whole() -> None:
    outcome = an_outcome(
        event_id="o-1",
        type="lost",
        assignment_id=LEAD_ID,
        epoch=2,
        rep_id="r-1",
        channel="phone",
        deal_id="d-1",
        deal_stage="closing",
        reason="price",
        note="long",
        amount={"value": "1200000", "currency": "JPY"},
        voice={"text": "too dear", "about": "competitor", "competitor": "Acme", "tags": ["price", ""]},
        spare={"kept": ""},
    )
    value = stored(outcome, OUTCOME)
    assert value["voice"].pop("tags") == ["price"]
    outcome["voice"].pop("tags")
    assert {name: value[name] for name in outcome} == outcome


def test_a_meeting_may_lie_in_the_future_but_the_outcome_may_not() -> None:
    value = stored(an_outcome(occurred_at="2030-01-01T00:00:00Z", meeting_at="2030-01-02T10:00:00+09:00"), OUTCOME)
    assert value["occurred_at"] == value["received_at"]
    assert value["occurred_at_sent"] == "2030-01-01T00:00:00.000000Z"
    assert value["meeting_at"] == "2030-01-02T01:00:00Z"


@pytest.mark.parametrize("type_", ["rejected", "lost", "recycled", "disqualified"])
@pytest.mark.parametrize("reason", [None, "", " "])
def test_some_types_need_a_reason(type_: str, reason: str | None) -> None:
    assert faults(an_outcome(type=type_, reason=reason), OUTCOME) == {
        "/reason": f"is required when the type is {type_}"
    }
    assert stored(an_outcome(type=type_, reason="no_budget"), OUTCOME)["reason"] == "no_budget"


@pytest.mark.parametrize(
    "type_",
    [
        *("attempted", "contacted", "accepted", "appointment.set", "appointment.held", "appointment.no_show"),
        *("appointment.cancelled", "opportunity.opened", "deal.updated", "won", "won.cancelled", "reopened"),
    ],
)
def test_the_other_types_need_none(type_: str) -> None:
    assert stored(an_outcome(type=type_), OUTCOME)["type"] == type_


def test_a_lead_or_a_person_is_required() -> None:
    assert faults({"type": "won"}, OUTCOME) == {"/lead_id": "is required, or an identity"}
    assert faults({"type": "won", "lead_id": "", "identity": {"email": ""}}, OUTCOME).keys() == {"/identity"}
    assert faults({"type": "won", "identity": {"email": "x"}}, OUTCOME).keys() == {"/identity/email"}
    assert stored({"type": "won", "identity": {"external_ids": {"crm": "42"}}}, OUTCOME)


def test_with_a_lead_the_identity_may_be_anything_readable() -> None:
    assert stored(an_outcome(identity={"email": "none"}), OUTCOME)["identity"] == {"email": "none"}


@pytest.mark.parametrize(
    ("fields", "pointer", "wrong"),
    [
        ({"type": ""}, "/type", "is required"),
        ({"lead_id": "42"}, "/lead_id", A_UUID),
        ({"lead_id": LEAD_ID + "\n"}, "/lead_id", "at most 36"),
        ({"assignment_id": "abc"}, "/assignment_id", A_UUID),
        ({"epoch": 0}, "/epoch", "from 1 to 2147483647"),
        ({"epoch": 2**31}, "/epoch", "from 1 to 2147483647"),
        ({"epoch": True}, "/epoch", "whole number"),
        ({"epoch": "1"}, "/epoch", "whole number"),
        ({"rep_id": "r" * 129}, "/rep_id", "at most 128"),
        ({"channel": "fax"}, "/channel", "must be one of phone, email, meeting, other"),
        ({"channel": ["phone"]}, "/channel", "must be one of"),
        ({"meeting_at": "2026-11-22T09:00"}, "/meeting_at", "with an offset"),
        ({"follow_up_at": "soon"}, "/follow_up_at", "with an offset"),
        ({"amount": "100"}, "/amount", "must be an object"),
        ({"amount": {"value": 100, "currency": "JPY"}}, "/amount/value", "must be a string"),
        ({"amount": {"value": "1,000", "currency": "JPY"}}, "/amount/value", "decimal number"),
        ({"amount": {"value": "-1", "currency": "JPY"}}, "/amount/value", "decimal number"),
        ({"amount": {"value": "1e5", "currency": "JPY"}}, "/amount/value", "decimal number"),
        ({"amount": {"value": "１００", "currency": "JPY"}}, "/amount/value", "decimal number"),
        ({"amount": {"value": "1", "currency": "yen"}}, "/amount/currency", "ISO 4217"),
        ({"amount": {"value": "1", "currency": ""}}, "/amount/currency", "is required in an amount"),
        ({"amount": {"value": "", "currency": "JPY"}}, "/amount/value", "is required in an amount"),
        ({"voice": {"about": "weather"}}, "/voice/about", "must be one of customer, competitor, company"),
        ({"voice": {"tags": "price"}}, "/voice/tags", "must be an array"),
        ({"voice": {"tags": ["ok", 7]}}, "/voice/tags/1", "must be a string"),
        ({"voice": {"tags": ["t"] * 51}}, "/voice/tags", "at most 50"),
        ({"identity": {"email": 7}}, "/identity/email", "must be a string"),
    ],
)
def test_an_unfit_field_is_named(fields: dict[str, Any], pointer: str, wrong: str) -> None:
    found = faults(an_outcome(**fields), OUTCOME)
    assert list(found) == [pointer]
    assert wrong in found[pointer]


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    assert "won.cancelled" in faults(an_outcome(type="sold"), OUTCOME)["/type"]
