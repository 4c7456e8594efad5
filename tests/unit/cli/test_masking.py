"""What commands print of a record holds nothing personal, whatever the sender put where."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.cli.masking import MASK, masked, masked_headers, masked_json, readable_json

SECRET = "taro@example.com"

EVENT: dict[str, Any] = {
    "event_id": "e-1",
    "type": "form.submitted",
    "occurred_at": "2026-11-22T09:00:00Z",
    "identity": {"email": SECRET, "phone": SECRET, "visitor_id": SECRET, "external_ids": {"type": SECRET}},
    "person": {"name": SECRET, "company": SECRET, "employees": 120, "message": SECRET, "country": "JP"},
    "context": {
        "page_url": SECRET,
        "referrer": SECRET,
        "utm": {"source": "google"},
        "click_ids": {"source": SECRET},
        "first_touch": {"at": "2026-11-01T09:00:00Z", "landing_url": SECRET, "click_ids": {"type": SECRET}},
    },
    "consent": {"sms": True, "text": SECRET, "basis": "consent"},
    "properties": {"type": SECRET, "deep": [{"score": SECRET}]},
    "unknown": SECRET,
}
SCORE: dict[str, Any] = {
    "lead_id": "l-1",
    "score": 87,
    "reasons": [{"rule": "demo", "points": 80}],
    "identifiers": [{"kind": "email", "value": SECRET}],
    "contact": {"email": SECRET, "name": SECRET},
    "first_touch": {"type": "page.viewed", "page_url": SECRET},
    "qualified_at": None,
}
ASSIGNMENT: dict[str, Any] = {
    "rep": {"id": "r-1", "name": SECRET, "email": SECRET},
    "deals": [{"deal_id": "d-1", "amount": {"value": "1200000", "currency": "JPY"}}],
    "account": {"id": "a-1", "name": SECRET},
    "outcome": {"type": "won", "flags": ["stale_epoch"]},
}
OUTCOME: dict[str, Any] = {
    "type": "lost",
    "reason": "price",
    "note": SECRET,
    "voice": {"text": SECRET, "about": "company"},
}


@pytest.mark.parametrize("record", [EVENT, SCORE, ASSIGNMENT, OUTCOME])
def test_nothing_personal_is_left(record: dict[str, Any]) -> None:
    assert SECRET not in str(masked(record))


def test_what_tells_the_story_is_left() -> None:
    event, score, assignment, outcome = map(masked, (EVENT, SCORE, ASSIGNMENT, OUTCOME))
    assert (event["type"], event["context"]["utm"]["source"], event["person"]["employees"]) == (
        "form.submitted",
        "google",
        120,
    )
    assert event["context"]["first_touch"]["at"] == "2026-11-01T09:00:00Z"
    assert event["consent"]["basis"] == "consent"
    assert (score["score"], score["reasons"], score["qualified_at"]) == (87, SCORE["reasons"], None)
    assert score["identifiers"] == [{"kind": "email", "value": MASK}]
    assert assignment["rep"] == {"id": "r-1", "name": MASK, "email": MASK}
    assert assignment["deals"] == ASSIGNMENT["deals"]
    assert assignment["outcome"] == ASSIGNMENT["outcome"]
    assert (outcome["reason"], outcome["note"]) == ("price", MASK)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(value=st.dictionaries(st.text(max_size=8).map(lambda name: f"x_{name}"), json_values))
def test_fields_nobody_knows_show_their_shape_only(value: dict[str, Any]) -> None:
    told = masked(value)
    assert told.keys() == value.keys()
    assert all(part in (None, MASK) for part in leaves(told))


def test_bytes_that_are_not_json_are_not_shown() -> None:
    assert masked_json(SECRET.encode()) == f"{MASK} (16 bytes that are not JSON)"
    assert readable_json(SECRET.encode()) == SECRET
    assert masked_json(msgspec.json.encode(SECRET)) == MASK


def test_headers_of_others_are_masked() -> None:
    ours = [("ce_id", "e-1"), ("ce_suspect", "honeypot")]

    assert masked_headers([*ours, ("x-user", SECRET)]) == [*ours, ("x-user", MASK)]


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, list):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]
