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


@pytest.mark.parametrize("changed", [{"event_id": "2"}, {"unknown": 1}, {"person": {}}, {"occurred_at": None}])
def test_any_other_difference_as_sent_makes_one(changed: dict[str, object]) -> None:
    assert accepted(an_event(**changed)).body_hash != accepted(an_event()).body_hash


def test_it_is_16_bytes_in_hex() -> None:
    assert len(bytes.fromhex(accepted(an_event()).body_hash)) == 16
