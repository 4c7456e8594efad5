"""Which events are accepted, and what is stored for them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.domain import limits
from services.ingest.domain.acceptance import Acceptance, Accepted, Refused, Why
from services.ingest.domain.kinds import EVENT
from services.ingest.domain.receipt import Receipt
from tests.unit.ingest.given import FRESH_ID, NOW, SECRET, accepted, an_event, faults, judge, stored

NO_IDENTIFIER = "must hold at least one of email, phone, visitor_id and external_ids"
A_TIME = "must be a date and time with an offset, such as 2026-11-22T09:00:00Z"


def test_the_least_event_is_stored_with_what_ingest_adds() -> None:
    assert stored(an_event(), source="shop", mode="history") == {
        "type": "form.submitted",
        "identity": {"email": "jane@example.com"},
        "event_id": FRESH_ID,
        "occurred_at": "2026-11-22T09:00:00.000000Z",
        "received_at": "2026-11-22T09:00:00.000000Z",
        "source": "shop",
        "mode": "history",
    }


def test_the_envelope_names_id_type_source_time_schema_and_body() -> None:
    event = accepted(an_event(event_id="e-1", occurred_at="2026-11-22T08:00:00+00:00"), source="shop")
    headers = dict(event.headers)
    assert headers.pop("ce_bodyhash") == event.body_hash.encode()
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"e-1",
        "ce_type": b"form.submitted",
        "ce_source": b"shop",
        "ce_time": b"2026-11-22T08:00:00.000000Z",
        "ce_subject": event.key,
        "ce_dataschema": b"lead_event.v2",
        "content-type": b"application/json",
    }


def test_a_suspect_is_marked_with_why_and_nothing_else_is_different() -> None:
    def headers(*suspect: str) -> dict[str, bytes]:
        verdict = Acceptance(EVENT, Receipt("shop", "live", NOW), SECRET, None, suspect).judge(raw, FRESH_ID)
        assert isinstance(verdict, Accepted)
        return dict(verdict.headers)

    raw = json.dumps(an_event()).encode()
    assert headers("honeypot", "too-fast") == {**headers(), "ce_suspect": b"honeypot,too-fast"}
    assert "ce_suspect" not in headers()


def test_the_trace_of_the_request_goes_on() -> None:
    acceptance = Acceptance(EVENT, Receipt("shop", "live", NOW), SECRET, b"00-trace")
    verdict = acceptance.judge(json.dumps(an_event()).encode(), FRESH_ID)
    assert isinstance(verdict, Accepted)
    assert dict(verdict.headers)["traceparent"] == b"00-trace"


def test_all_items_are_judged_in_order_and_those_without_an_id_get_theirs_by_index() -> None:
    items = [json.dumps(an_event(**fields)).encode() for fields in ({"event_id": "e"}, {}, {"type": 7}, {"unknown": 1})]
    asked: list[int] = []

    def id_of(index: int) -> str:
        asked.append(index)
        return f"fresh-{index}"

    verdicts = Acceptance(EVENT, Receipt("shop", "live", NOW), SECRET).judge_all(items, id_of)
    assert [verdict.event_id for verdict in verdicts] == ["e", "fresh-1", None, "fresh-3"]
    assert asked == [1, 3]


@pytest.mark.parametrize("absent", ["", None, "  ", "\u3000"])
def test_empty_and_null_mean_absent(absent: str | None) -> None:
    event = an_event(
        event_id=absent,
        occurred_at=absent,
        identity={"email": "jane@example.com", "phone": absent, "external_ids": {"crm": absent}},
        person={"name": absent, "employees": absent},
        context={"page_url": absent, "utm": {"source": absent}, "click_ids": {"gclid": absent}},
        properties=absent,
        consent={"email": absent, "text": absent, "basis": absent, "at": absent},
        sent_at=absent,
    )
    value = stored(event)
    assert value["event_id"] == FRESH_ID
    assert value["occurred_at"] == value["received_at"]
    assert value["identity"] == {"email": "jane@example.com", "external_ids": {}}
    assert value["person"] == {}
    assert value["context"] == {"utm": {}, "click_ids": {}}
    assert "properties" not in value
    assert value["consent"] == {}
    assert "sent_at" not in value


def test_unknown_fields_are_kept_at_every_level_as_they_are() -> None:
    event = an_event(
        shoe_size="",
        identity={"email": "jane@example.com", "twitter": None},
        person={"birthday": "1990-01-01"},
        context={"utm": {"id": 7}, "screen": [1, {"a": ""}]},
        properties={"blank": "", "nothing": None},
        consent={"fax": "perhaps"},
    )
    value = stored(event)
    for field in ("shoe_size", "identity", "person", "context", "properties", "consent"):
        assert value[field] == event[field]


def test_what_ingest_sets_cannot_be_set_by_the_client() -> None:
    value = stored(an_event(source="admin", received_at="1999-01-01T00:00:00Z", mode="history", occurred_at_sent="x"))
    assert "occurred_at_sent" not in value
    assert (value["source"], value["mode"]) == ("default", "live")
    assert value["received_at"] == "2026-11-22T09:00:00.000000Z"


@pytest.mark.parametrize(
    ("identity", "wrong"),
    [
        (None, NO_IDENTIFIER),
        ({}, NO_IDENTIFIER),
        (
            {"email": "", "external_ids": {"crm": ""}},
            NO_IDENTIFIER,
        ),
        ({"nickname": "jj"}, NO_IDENTIFIER),
        ([], "must be an object"),
        ("jane@example.com", "must be an object"),
    ],
)
def test_at_least_one_identifier_is_required(identity: Any, wrong: str) -> None:
    assert faults({"type": "page.viewed", "identity": identity}) == {"/identity": wrong}


@pytest.mark.parametrize(
    "identity",
    [
        {"email": "jane@example.com"},
        {"email": " ＪＡＮＥ＠ｅｘａｍｐｌｅ．ｃｏｍ "},
        {"phone": "+81 3 1234 5678"},
        {"phone": "０３−１２３４−５６７８"},
        {"visitor_id": "v-1"},
        {"external_ids": {"crm": "42"}},
    ],
)
def test_any_one_identifier_is_enough_and_stored_as_given(identity: dict[str, Any]) -> None:
    assert stored({"type": "page.viewed", "identity": identity})["identity"] == identity


@pytest.mark.parametrize(
    ("fields", "pointer", "wrong"),
    [
        ({"event_id": 7}, "/event_id", "must be a string"),
        ({"event_id": "x" * 129}, "/event_id", "must have at most 128 characters"),
        ({"type": ""}, "/type", "is required"),
        ({"type": "x" * 129}, "/type", "must have at most 128 characters"),
        ({"type": 7}, "/type", "must be a string"),
        ({"occurred_at": "yesterday"}, "/occurred_at", A_TIME),
        ({"occurred_at": "2026-11-22"}, "/occurred_at", A_TIME),
        ({"occurred_at": "2026-11-22T09:00:00"}, "/occurred_at", A_TIME),
        ({"occurred_at": 1795338000}, "/occurred_at", A_TIME),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "/occurred_at", "must not be before 1970-01-01"),
        ({"occurred_at": "9999-12-31T23:59:59-14:00"}, "/occurred_at", "must be before the year 10000"),
        ({"identity": {"email": "jane"}}, "/identity/email", "must be an e-mail address"),
        ({"identity": {"email": "@"}}, "/identity/email", "must be an e-mail address"),
        ({"identity": {"email": "a@" + "b" * 319}}, "/identity/email", "must have at most 320 characters"),
        ({"identity": {"email": ["a@b.c"]}}, "/identity/email", "must be a string"),
        ({"identity": {"phone": "call me"}}, "/identity/phone", "must be a phone number"),
        ({"identity": {"phone": "1" * 65}}, "/identity/phone", "must have at most 64 characters"),
        ({"identity": {"visitor_id": "v" * 257}}, "/identity/visitor_id", "must have at most 256 characters"),
        ({"identity": {"external_ids": "42"}}, "/identity/external_ids", "must be an object"),
        ({"identity": {"external_ids": {"crm": 42}}}, "/identity/external_ids/crm", "must be a string"),
        (
            {"identity": {"external_ids": {f"s{n}": "1" for n in range(21)}}},
            "/identity/external_ids",
            "must have at most 20 entries",
        ),
        (
            {"identity": {"external_ids": {"a:b": "1"}}},
            "/identity/external_ids/a:b",
            "has a name that must be 1 to 64 letters, digits, dots, dashes or underscores",
        ),
        ({"person": "Jane"}, "/person", "must be an object"),
        ({"person": {"name": 7}}, "/person/name", "must be a string"),
        ({"person": {"employees": "120"}}, "/person/employees", "must be a whole number from 0 to 100000000"),
        ({"person": {"employees": 1.5}}, "/person/employees", "must be a whole number from 0 to 100000000"),
        ({"person": {"employees": True}}, "/person/employees", "must be a whole number from 0 to 100000000"),
        ({"person": {"employees": -1}}, "/person/employees", "must be a whole number from 0 to 100000000"),
        ({"context": []}, "/context", "must be an object"),
        ({"context": {"utm": {"source": 1}}}, "/context/utm/source", "must be a string"),
        ({"context": {"click_ids": {"a/b~c": 1}}}, "/context/click_ids/a~1b~0c", "must be a string"),
        ({"properties": [1]}, "/properties", "must be an object"),
        ({"consent": {"marketing": "yes"}}, "/consent/marketing", "must be true or false"),
        ({"consent": {"marketing": 1}}, "/consent/marketing", "must be true or false"),
        ({"consent": {"sms": "no"}}, "/consent/sms", "must be true or false"),
        ({"consent": {"at": "today"}}, "/consent/at", A_TIME),
        ({"consent": {"basis": "contract"}}, "/consent/basis", "must be one of consent, legitimate_interest"),
        ({"consent": {"text": ["yes"]}}, "/consent/text", "must be a string"),
        ({"context": {"landing_url": 7}}, "/context/landing_url", "must be a string"),
        ({"context": {"first_touch": "google"}}, "/context/first_touch", "must be an object"),
        ({"context": {"first_touch": {"at": "2026-11-22"}}}, "/context/first_touch/at", A_TIME),
        (
            {"context": {"last_touch": {"at": "1969-12-31T00:00:00Z"}}},
            "/context/last_touch/at",
            "must not be before 1970-01-01",
        ),
        ({"context": {"last_touch": {"utm": {"source": 1}}}}, "/context/last_touch/utm/source", "must be a string"),
        ({"sent_at": "now"}, "/sent_at", A_TIME),
    ],
)
def test_an_unfit_field_is_named(fields: dict[str, Any], pointer: str, wrong: str) -> None:
    assert faults(an_event(**fields)) == {pointer: wrong}


@pytest.mark.parametrize("type_", ["Form.Submitted", "1st", "form submitted", ".a", "été", "a\n"])
def test_a_type_is_lower_case_words_with_dots(type_: str) -> None:
    assert list(faults(an_event(type=type_))) == ["/type"]


@pytest.mark.parametrize("type_", ["page.viewed", "x", "custom_thing.v2"])
def test_any_type_of_that_form_is_accepted(type_: str) -> None:
    assert accepted(an_event(type=type_)).type == type_


@pytest.mark.parametrize("identity", [{"email": "none", "phone": "03-1"}, {"email": "a@b.c", "phone": "なし"}])
def test_a_lead_is_not_lost_over_a_field_somebody_had_to_fill(identity: dict[str, str]) -> None:
    assert stored({"type": "form.submitted", "identity": identity})["identity"] == identity


def test_identifiers_that_cannot_be_any_are_each_named() -> None:
    event = {"type": "form.submitted", "identity": {"email": "none", "phone": "-"}}
    assert set(faults(event)) == {"/identity/email", "/identity/phone"}


def test_all_unfit_fields_are_named_at_once() -> None:
    event = {"type": "BAD", "occurred_at": "never", "identity": {"email": 7}, "person": {"employees": "1"}}
    assert set(faults(event)) == {"/type", "/occurred_at", "/identity/email", "/person/employees"}


def test_no_fault_repeats_what_was_sent() -> None:
    secret = "very.private"
    event = an_event(type=secret.upper(), identity={"email": secret, "phone": secret}, person={"name": [secret]})
    assert secret not in str(faults(event)).lower()


def test_a_time_with_an_offset_is_stored_in_utc() -> None:
    value = stored(an_event(occurred_at="2026-11-22T17:30:00.5+09:00"))
    assert value["occurred_at"] == "2026-11-22T08:30:00.500000Z"


def test_a_time_in_the_future_is_the_time_of_receipt_and_the_claim_is_kept() -> None:
    value = stored(an_event(occurred_at="2027-01-01T00:00:00Z"))
    assert value["occurred_at"] == value["received_at"]
    assert value["occurred_at_sent"] == "2027-01-01T00:00:00.000000Z"


def test_a_time_up_to_the_receipt_is_not_touched() -> None:
    assert "occurred_at_sent" not in stored(an_event(occurred_at=NOW.isoformat()))
    earlier = (NOW - timedelta(microseconds=1)).isoformat()
    assert stored(an_event(occurred_at=earlier))["occurred_at"] == "2026-11-22T08:59:59.999999Z"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"person": {"name": "a\0b"}}, "/person/name"),
        ({"properties": {"deep": [{"x": "\0"}]}}, "/properties/deep/0/x"),
        ({"properties": {"\0": 1}}, "/properties"),
        ({"identity": {"email": "jane@example.com", "visitor_id": "\0"}}, "/identity/visitor_id"),
        ({"event_id": "a\0"}, "/event_id"),
        ({"unknown": "\0"}, "/unknown"),
        ({"person": {"name": "\ud800"}}, "/person/name"),
        ({"properties": {"x": "ok", "y": "\udc00\ud800"}}, "/properties/y"),
        ({"properties": {"\ud800": 1}}, "/properties"),
    ],
)
def test_text_that_cannot_be_stored_is_refused_by_name(fields: dict[str, Any], pointer: str) -> None:
    assert list(faults(an_event(**fields))) == [pointer]


def test_text_that_only_looks_like_an_escape_is_stored() -> None:
    assert stored(an_event(person={"message": "C:\\u0000\\ud800"}))["person"]["message"] == "C:\\u0000\\ud800"


def test_astral_characters_are_stored() -> None:
    assert stored(an_event(person={"name": "😀𠮷"}))["person"]["name"] == "😀𠮷"


@pytest.mark.parametrize("number", ["1e400", "-1e999", "9" * 5000])
def test_a_number_nobody_can_hold_is_refused_by_name(number: str) -> None:
    raw = b'{"type":"a","identity":{"visitor_id":"v"},"properties":{"n":[0,%s]}}' % number.encode()
    assert faults(raw) == {"/properties/n/1": "is a number out of range"}


def test_a_long_whole_number_keeps_all_its_digits() -> None:
    raw = b'{"type":"a","identity":{"visitor_id":"v"},"properties":{"n":123456789012345678901234567890}}'
    assert b"123456789012345678901234567890" in accepted(raw).value


def test_an_event_beyond_the_size_limit_is_too_large() -> None:
    verdict = judge(an_event(properties={"x": "y" * limits.EVENT_BYTES_MAX}))
    assert isinstance(verdict, Refused)
    assert verdict.why is Why.TOO_LARGE


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return {"x": value}


def test_nesting_is_bounded() -> None:
    inside = limits.DEPTH_MAX - 2  # the event and its properties are two levels
    assert stored(an_event(properties=nested(inside)))
    assert faults(an_event(properties=nested(inside + 1))) == {"": "is nested deeper than 32 levels"}


@pytest.mark.parametrize("raw", [b"[" * 30_000, b'{"a":' * 12_000, b"[" * 30_000 + b"]" * 30_000])
def test_absurd_nesting_is_refused_like_any_other(raw: bytes) -> None:
    verdict = judge(raw)
    assert isinstance(verdict, Refused)
    assert verdict.why in (Why.UNFIT, Why.NOT_JSON)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert stored(an_event(properties={"x": [[] for _ in range(500)]}))


@pytest.mark.parametrize("extra", [{}, {"unknown": ":::"}])
def test_the_number_of_fields_is_bounded_whatever_way_an_event_takes(extra: dict[str, str]) -> None:
    beside = len(("type", "identity", "email", "properties", "inner", "event_id", "occurred_at", *extra))
    inner = {f"f{n}": ":" for n in range(limits.FIELDS_MAX - beside)}
    event = an_event(properties={"inner": inner}, event_id="e", occurred_at="2026-11-22T08:00:00Z", **extra)
    assert stored(event)["properties"]["inner"] == inner
    inner["one more"] = ":"
    assert faults(event) == {"": "has more than 1000 fields"}


def test_text_with_a_thousand_colons_has_no_fields() -> None:
    assert stored(an_event(properties={"x": '":' * 2000}))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is not valid JSON (line 1, column 1)"),
        (b"{", "is not valid JSON (line 1, column 2)"),
        (b"{'a': 1}", "is not valid JSON (line 1, column 2)"),
        (b'{"a": NaN}', "is not valid JSON"),
        (b'{"a": -Infinity}', "is not valid JSON"),
        (b'{"a": "\xff"}', "is not UTF-8 (byte 7)"),
        ('{"a": "é"}'.encode("utf-16"), "is not UTF-8 (byte 0)"),
        (b'{"a": "\n"}', "is not valid JSON (line 1, column 8)"),
        (b'{"a": 1} x', "is not valid JSON (line 1, column 10)"),
    ],
)
def test_bytes_that_are_not_json_say_where(raw: bytes, reason: str) -> None:
    verdict = judge(raw)
    assert isinstance(verdict, Refused)
    assert verdict.why is Why.NOT_JSON
    assert [fault.detail for fault in verdict.faults] == [reason]


@pytest.mark.parametrize("sent", [[], "text", 7, None, True, [{}]])
def test_an_event_is_an_object(sent: Any) -> None:
    assert faults(sent) == {"": "must be an object"}


def test_a_refusal_names_the_clients_id_where_it_is_usable() -> None:
    for event_id, named in (("e-1", "e-1"), ("x" * 129, None), (7, None), ("", None), ("\0", None)):
        verdict = judge({"event_id": event_id, "type": "a"})
        assert isinstance(verdict, Refused)
        assert verdict.event_id == named
