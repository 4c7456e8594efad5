"""The key of a record: the same for one person, and telling nothing about them."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.domain.identity import record_key, strongest
from services.ingest.domain.kinds import OUTCOME
from tests.unit.ingest.given import LEAD_ID, SECRET, accepted, an_event, an_outcome


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        ({"email": " Jane@Example.com ", "phone": "1", "visitor_id": "v"}, "email jane@example.com"),
        ({"phone": " 03-1 ", "external_ids": {"crm": "1"}}, "phone 03-1"),
        ({"external_ids": {"sfa": "2", "crm": "A1"}, "visitor_id": "v"}, "external crm:a1"),
        ({"visitor_id": "V-1"}, "visitor v-1"),
        ({"email": "none", "phone": "-", "visitor_id": "v"}, "visitor v"),
        ({"email": "none", "phone": "03"}, "phone 03"),
        ({"email": "@", "phone": "-"}, None),
        ({"external_ids": {}}, None),
        ({}, None),
    ],
)
def test_the_strongest_identifier_is_chosen(identity: dict[str, Any], named: str | None) -> None:
    assert strongest(identity) == named


def test_one_person_has_one_key() -> None:
    one = accepted(an_event(identity={"email": "Jane@Example.com "})).key
    other = accepted(an_event(type="page.viewed", identity={"email": "jane@example.com", "phone": "1"})).key
    assert one == other


def test_the_same_text_as_another_kind_is_another_key() -> None:
    keys = {accepted(an_event(identity={kind: "1@1"})).key for kind in ("email", "phone", "visitor_id")}
    assert len(keys) == 3


def test_the_key_holds_no_personal_data_and_depends_on_the_secret() -> None:
    key = accepted(an_event()).key
    assert len(key) == 16
    int(key, 16)
    assert key == record_key("email jane@example.com", SECRET)
    assert key != record_key("email jane@example.com", b"another secret")


def test_no_header_holds_personal_data() -> None:
    event = accepted(an_event(identity={"email": "jane@example.com", "phone": "+81312345678"}))
    written = repr(event.headers) + repr(event.key)
    assert "jane" not in written
    assert "1234" not in written


def test_an_outcome_is_keyed_by_its_lead() -> None:
    outcome = accepted(an_outcome(lead_id=LEAD_ID.upper(), identity={"email": "jane@example.com"}), OUTCOME)
    assert outcome.key == LEAD_ID.encode()
    assert dict(outcome.headers)["ce_subject"] == LEAD_ID.encode()


def test_an_outcome_without_a_lead_is_keyed_like_the_persons_events() -> None:
    outcome = accepted({"type": "contacted", "identity": {"email": "JANE@example.com"}}, OUTCOME)
    assert outcome.key == accepted(an_event()).key


def test_an_event_that_names_a_lead_is_still_keyed_by_the_person() -> None:
    assert accepted(an_event(lead_id=LEAD_ID)).key == accepted(an_event()).key
