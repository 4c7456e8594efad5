"""When two bodies count as the same one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.ingest.given import NOW, accepted, an_event


def test_spaces_and_order_of_fields_make_no_difference() -> None:
    one = b'{"type":"a","identity":{"email":"a@b.c","phone":"1"},"event_id":"1"}'
    other = b' { "event_id" : "1",\n"identity":{"phone":"1","email":"a@b.c"}, "type":"\\u0061" } '
    assert accepted(one).body_hash == accepted(other).body_hash


def test_source_mode_and_time_of_receipt_make_no_difference() -> None:
    one = accepted(an_event())
    other = accepted(an_event(), source="shop", mode="history", now=NOW + timedelta(days=1))
    assert one.body_hash == other.body_hash


@pytest.mark.parametrize(
    "same",
    [
        {"event_id": "2"},
        {"sent_at": "2026-11-22T08:59:59Z"},
        {"occurred_at": None, "person": "", "mode": "history", "source": "other"},
        {"identity": {"email": "jane@example.com", "phone": " "}},
    ],
)
def test_neither_do_the_id_the_hour_of_sending_and_what_is_not_heard(same: dict[str, object]) -> None:
    """They are compared under one id, a retry is sent later, and an empty field says nothing."""
    assert accepted(an_event(**same)).body_hash == accepted(an_event()).body_hash


@pytest.mark.parametrize(
    "changed",
    [
        {"unknown": 1},
        {"person": {}},
        {"occurred_at": "2026-11-22T08:00:00Z"},
        {"occurred_at": "2030-01-01T00:00:00Z"},
        {"identity": {"email": "Jane@example.com"}},
        {"properties": {"a": ""}},
        {"type": "page.viewed"},
    ],
)
def test_any_other_difference_makes_one(changed: dict[str, object]) -> None:
    assert accepted(an_event(**changed)).body_hash != accepted(an_event()).body_hash


def test_two_claims_that_are_both_too_late_differ() -> None:
    """Both are stored as happening when they were received, but they do not say the same."""
    one, other = an_event(occurred_at="2030-01-01T00:00:00Z"), an_event(occurred_at="2031-01-01T00:00:00Z")
    assert accepted(one).body_hash != accepted(other).body_hash


def test_a_time_is_the_same_in_every_zone() -> None:
    here, there = an_event(occurred_at="2026-11-22T08:00:00Z"), an_event(occurred_at="2026-11-22T17:00:00.000+09:00")
    assert accepted(here).body_hash == accepted(there).body_hash


def test_it_is_16_bytes_in_hex() -> None:
    assert len(bytes.fromhex(accepted(an_event()).body_hash)) == 16
