"""An event is judged by its type where it holds nothing unusual, else by the readers: with the same result."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funnel.schemas import folder
from services.ingest.domain import limits
from services.ingest.domain.acceptance import _BLANK_TEXT, Acceptance, Accepted, Refused
from services.ingest.domain.fields import is_absent
from services.ingest.domain.kinds import EVENT, Kind
from services.ingest.domain.receipt import Receipt
from tests.unit.ingest.given import FRESH_ID, NOW, SECRET, an_event
from tests.unit.ingest.test_any_input import encoded, events, good_events

known_events = good_events.map(lambda event: {name: item for name, item in event.items() if name != "extra"})

UNTYPED = replace(EVENT, typed=None)
RECEIPT = Receipt("shop", "live", NOW, NOW - timedelta(seconds=3))

FULL = an_event(
    event_id="e-1",
    occurred_at="2026-11-22T08:00:00.25Z",
    sent_at="2026-11-22T09:00:01Z",
    identity={"email": "jane@example.com", "phone": "+81312345678", "visitor_id": "v", "external_ids": {"crm": "42"}},
    person={"name": "中村 翔太", "name_kana": "ナカムラ", "company": "", "employees": 0},
    context={
        "page_url": "https://www.example.com/?a=1",
        "utm": {"source": "google", "term": ""},
        "click_ids": {"gclid": "x", "b": "y"},
        "first_touch": {"at": "2026-11-01T00:00:00Z", "landing_url": "https://www.example.com/", "utm": {}},
    },
    properties={"form": "contact", "nested": {"b": [1.0, None, "", "  "], "a": 10**30}, "text": '\\u " / é 😀'},
    consent={"marketing": True, "email": False, "phone": None, "at": "2026-11-01T09:00:00+09:00", "basis": "consent"},
)


def judged(raw: bytes, kind: Any = EVENT) -> Accepted | Refused:
    return Acceptance(kind, RECEIPT, SECRET, b"00-trace", ("origin",)).judge(raw, FRESH_ID)


def without_readers(raw: bytes) -> Accepted | None:
    """The verdict of the typed way alone."""
    return Acceptance(EVENT, RECEIPT, SECRET, b"00-trace", ("origin",))._accept_usual(raw, lambda _: FRESH_ID, 0)


@given(events | known_events)
def test_any_event_gets_the_same_verdict_both_ways(value: Any) -> None:
    raw = encoded(value)
    assert judged(raw) == judged(raw, UNTYPED)


@pytest.mark.parametrize(
    "unusual",
    [
        *(
            "",
            "  ",
            "\u3000",
            "\t\n",
            "\x1f",
            "\0",
            "\ud800",
            "x" * 400,
            "2026-11-22T17:00:00+09:00",
            "0001-01-01T00:00:00Z",
        ),
        *(None, True, 0, 7, 1.0, 1e999, 10**30, [], {}, {"a": ""}, {"a": " "}, {"": "a"}, {"a b": "c"}),
    ],
)
def test_so_does_one_with_something_unusual_in_any_place(unusual: Any) -> None:
    for place in places(FULL):
        raw = encoded(placed(FULL, place, unusual))
        assert judged(raw) == judged(raw, UNTYPED), place


def places(value: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all fields in objects of objects."""
    if not isinstance(value, dict):
        return []
    return [path for name, item in value.items() for path in ((*at, name), *places(item, (*at, name)))]


def placed(value: Any, place: tuple[str, ...], unusual: Any) -> Any:
    name, *rest = place
    return {**value, name: placed(value[name], tuple(rest), unusual) if rest else unusual}


@pytest.mark.parametrize("example", sorted((folder() / "examples" / "lead_event" / "2").glob("*.json")), ids=str)
def test_the_examples_get_the_same_verdict_both_ways(example: Any) -> None:
    sent = json.loads(example.read_text(encoding="utf-8"))
    raw = encoded({name: item for name, item in sent.get("value", sent).items() if name not in ("source", "mode")})
    assert judged(raw) == judged(raw, UNTYPED)
    assert isinstance(judged(raw), Accepted)


def test_a_full_event_takes_the_typed_way() -> None:
    raw = msgspec.json.encode(FULL)
    typed = without_readers(raw)
    assert typed is not None
    assert typed == judged(raw, UNTYPED)


@pytest.mark.parametrize(
    ("raw", "typed"),
    [
        (b'{"a":1}', False),
        (b'{"person":{"a":1}}', False),
        (b'{"person":{"name":null}}', False),
        (b'{"person":{"name":"","employees":null}}', True),
        (b'{"person":{"name":" "}}', False),
        (b'{"person":{"name":" x "}}', True),
        (b'{"person":{"name":"\\u3000\\t"}}', False),
        (b'{"person":{"name":"\\u30ca"}}', True),
        (b'{"person":{"employees":1.0}}', False),
        (b'{"person":{"name":"\\u0000"}}', False),
        (b'{"person":{"name":"\\ud83d\\ude00"}}', True),
        (b'{"person":{"name":"\\ud83d"}}', False),
        (b'{"person":{"name":"a"},"person":{"name":"b"}}', True),
        (b'{"person":{"name":"a","name":""}}', True),
        (b'{"person":{"name":7,"name":"b"}}', False),
        (b'{"person":{"name":"a"},"person":null}', True),
        (b'{"occurred_at":"2026-11-22T17:00:00+09:00"}', True),
        (b'{"occurred_at":"2026\\u002d11-22t08:00:00.123456789z"}', True),
        (b'{"occurred_at":"1969-12-31T23:59:59Z"}', False),
        (b'{"occurred_at":"9999-12-31T23:59:59-14:00"}', False),
        (b'{"occurred_at":"2030-01-01T00:00:00Z"}', True),
        (b'{"occurred_at":""}', False),
        (b'{"occurred_at":null}', True),
        (b'{"event_id":"\\u3000"}', False),
        (b'{"event_id":"a\\"b\\\\"}', True),
        (b'{"context":{"last_touch":{"at":"2026-11-22T17:00:00.5+09:00"}}}', True),
        (b'{"context":{"click_ids":{"a":"","b":"c"}}}', False),
        (b'{"context":{"click_ids":{}}}', True),
        (b'{"type":"Not.A.Type"}', False),
        (b'{"type":"x\\n"}', False),
        (b'{"identity":{"email":"none"}}', False),
        (b'{"identity":{"external_ids":{"c r m":"1"}}}', False),
        (b'{"properties":{"x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}', False),
        (b'{"properties":{"x":[[],[],[[],[]],[],[]],"n":-0.0,"e":1e2,"big":123456789012345678901234567890}}', True),
        (b'{"properties":{"x":1e400}}', False),
        (b'{"consent":{"marketing":null,"basis":"legitimate_interest"}}', True),
    ],
)
def test_what_takes_which_way(raw: bytes, typed: bool) -> None:
    """Both ways must agree wherever the type says yes; where it says no, the readers decide alone."""
    least = b'{"type":"a","identity":{"visitor_id":"v"},'
    event = least + raw[1:]
    verdict = without_readers(event)
    assert (verdict is not None) is typed
    if verdict is not None:
        assert verdict == judged(event, UNTYPED)


@pytest.mark.parametrize("kind", [EVENT, UNTYPED], ids=["typed", "read"])
def test_where_larger_events_are_taken_their_text_may_be_longer_too(kind: Kind) -> None:
    """A form may bring more than a program: what somebody typed for an hour is not thrown away."""
    raw = msgspec.json.encode(an_event(person={"message": "x" * limits.EVENT_BYTES_MAX}))
    larger = Acceptance(kind, RECEIPT, SECRET, bytes_max=2 * limits.EVENT_BYTES_MAX)
    assert isinstance(larger.judge(raw, FRESH_ID), Accepted)
    assert isinstance(judged(raw, kind), Refused)


def test_text_is_blank_where_it_has_no_visible_character() -> None:
    """For every character there is: what the pattern finds in JSON is what `is_absent` says of the text."""
    encode = msgspec.json.encode
    differ = []
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if "\ud800" <= character <= "\udfff":
            continue
        for text in (character, f" {character}"):
            found = _BLANK_TEXT.search(encode({"name": text})) is not None
            if found is not is_absent(text):
                differ.append(text)
    assert differ == []


@given(st.text(st.sampled_from(' \t\n\r\f\v\x1c\x1f\x85\xa0\u3000\u2028\\"a'), min_size=1, max_size=4))
def test_so_it_is_for_several_characters(text: str) -> None:
    found = _BLANK_TEXT.search(msgspec.json.encode({"a": 1, "name": text, "z": "x"})) is not None
    assert found is is_absent(text)
