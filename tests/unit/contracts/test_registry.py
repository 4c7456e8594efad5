"""Whatever bytes lie on a topic, they are decoded to one value or refused with a reason."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funnel.contracts import ConsentStatement, LeadEvent, LeadOutcome, Person
from funnel.contracts.catalogue import CARRIED, STRUCTS
from funnel.contracts.registry import DEPTH_MAX, decode, decoder
from funnel.errors import Poison, UnknownVersion

EVENT: dict[str, Any] = {
    "event_id": "e-1",
    "type": "form.submitted",
    "occurred_at": "2026-11-22T09:00:00Z",
    "source": "site",
    "received_at": "2026-11-22T09:00:01Z",
    "identity": {"email": "hanako.yamada@example.jp"},
}


def event(**changes: object) -> bytes:
    """The bytes of an event; a change to None leaves the field out."""
    fields = {name: value for name, value in {**EVENT, **changes}.items() if value is not None}
    return json.dumps(fields, ensure_ascii=False).encode()


def with_text(raw: str) -> bytes:
    """An event with `raw`, as written in JSON, as its property `text`."""
    return event(properties={"text": "?"}).replace(b'"?"', raw.encode("utf-8", "surrogatepass"))


def read(value: bytes) -> LeadEvent:
    record = decode(value, "lead_event.v2")
    assert isinstance(record, LeadEvent)
    return record


def refusal(value: bytes, dataschema: str = "lead_event.v2") -> str:
    with pytest.raises(Poison) as caught:
        decode(value, dataschema)
    return str(caught.value)


def test_a_plain_event_is_read() -> None:
    record = read(event(person={"name": "山田 花子"}))

    assert record.occurred_at == datetime(2026, 11, 22, 9, tzinfo=UTC)
    assert record.person is not None
    assert (record.person.name, record.person.company, record.mode) == ("山田 花子", None, "live")


def test_unknown_fields_are_ignored() -> None:
    assert read(event(campaign={"id": [1, 2]}, identity={"email": "a@example.com", "badge": 7})).event_id == "e-1"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "the record has no value"),
        (b"null", "Expected `object`, got `null`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"hello", "JSON is malformed"),
        (b'{"event_id": "e', "Input data was truncated"),
        (event() + b"x", "trailing characters"),
        (b"\xef\xbb\xbf" + event(), "JSON is malformed: invalid character (byte 0)"),
        (event().decode().encode("utf-16"), "not UTF-8: invalid start byte at byte 0"),
        (b"\x80\x04\x95", "not UTF-8: invalid start byte at byte 0"),
    ],
)
def test_bytes_that_are_no_json_object_are_refused(value: bytes, reason: str) -> None:
    assert reason in refusal(value)


def test_a_tombstone_is_refused_like_an_empty_value() -> None:
    assert refusal(None) == "the record has no value"  # type: ignore[arg-type]  # what the client gives for it


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"identity": None}, "Object missing required field `identity`"),
        ({"identity": {"email": 7}}, "Expected `str | null`, got `int` - at `$.identity.email`"),
        ({"type": "Form Submitted"}, "- at `$.type`"),
        ({"type": "form.submitted\n"}, "- at `$.type`"),
        ({"event_id": "x" * 129}, "Expected `str` of length <= 128 - at `$.event_id`"),
        ({"mode": "replay"}, "Invalid enum value 'replay' - at `$.mode`"),
        ({"person": {"employees": -1}}, "- at `$.person.employees`"),
        ({"person": {"employees": 2**31}}, "- at `$.person.employees`"),
        ({"occurred_at": "2026-11-22T09:00:00"}, "with a timezone component - at `$.occurred_at`"),
        ({"occurred_at": "2026-11-22"}, "Invalid RFC3339 encoded datetime - at `$.occurred_at`"),
        ({"occurred_at": "2026-02-30T00:00:00Z"}, "Invalid RFC3339 encoded datetime - at `$.occurred_at`"),
        ({"received_at": 1700000000}, "Expected `datetime`, got `int` - at `$.received_at`"),
        ({"occurred_at": "0001-01-01T00:00:00+09:00"}, "outside the years 1 to 9999 - at `$.occurred_at`"),
        ({"occurred_at": "9999-12-31T23:00:00-09:00"}, "outside the years 1 to 9999 - at `$.occurred_at`"),
    ],
)
def test_a_wrong_field_is_named(changes: dict[str, object], reason: str) -> None:
    assert reason in refusal(event(**changes))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (with_text('"\\ud800"'), "half of a surrogate pair is no character - at `$.properties.text`"),
        (with_text('"\\udc00 tail"'), "half of a surrogate pair is no character - at `$.properties.text`"),
        (with_text('{"a": ["x", "\\ud83d"]}'), "- at `$.properties.text.a[1]`"),
        (with_text('{"\\ud800": 1}'), "half of a surrogate pair is no character - at `$.properties.text.\ufffd`"),
        (with_text('"\ud800"'), "not UTF-8: invalid continuation byte at byte"),
        (event(later="?").replace(b"?", b"\xff"), "not UTF-8: invalid start byte at byte"),
        (event(later="?").replace(b"?", b"\\ud800"), "half of a surrogate pair is no character - at `$.later`"),
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(value: bytes, reason: str) -> None:
    assert reason in refusal(value)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert read(with_text('"\\ud83d\\ude00"')).properties == {"text": "😀"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (event(person={"message": "a\0b"}), "the character U+0000 cannot be stored - at `$.person.message`"),
        (event(properties={"a": [{"b": "\0"}]}), "cannot be stored - at `$.properties.a[0].b`"),
        (event(properties={"a\0": 1}), "cannot be stored - at `$.properties.a\\0`"),
        (event(later="\0"), "cannot be stored - at `$.later`"),
        (with_text('"\0"'), "JSON is malformed"),
    ],
)
def test_the_nul_character_is_refused_wherever_it_stands(value: bytes, reason: str) -> None:
    assert reason in refusal(value)


def test_the_words_backslash_u0000_are_only_words() -> None:
    assert read(event(person={"message": "\\u0000"})).person is not None


@pytest.mark.parametrize("number", ["1e400", "-1e999999999999", "1" + "0" * 5000, "NaN", "Infinity"])
def test_a_number_python_cannot_hold_is_refused(number: str) -> None:
    assert refusal(with_text(number))


@pytest.mark.parametrize(
    ("number", "value"),
    [("1" + "0" * 400, 10**400), ("1e308", 1e308), ("1e-400", 0.0), ("12345678901234567890", 12345678901234567890)],
)
def test_a_large_number_is_kept(number: str, value: object) -> None:
    assert read(with_text(number)).properties == {"text": value}


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("field", ["properties", "later"])
def test_nesting_is_bounded_the_same_for_every_caller(opening: str, field: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(levels: int) -> bytes:
        inner = opening * levels + "1" + closing * levels
        return event(**{field: {"x": "?"}}).replace(b'"?"', inner.encode())

    assert read(nested(DEPTH_MAX - 2)).event_id == "e-1"
    assert refusal(nested(DEPTH_MAX - 1)) == f"nested deeper than {DEPTH_MAX} levels"
    assert refusal(nested(100_000)) == f"nested deeper than {DEPTH_MAX} levels"


def test_many_brackets_side_by_side_or_in_a_text_are_not_nesting() -> None:
    assert read(event(properties={"list": [[]] * 5000, "text": "[{" * 5000})).event_id == "e-1"


def test_unfinished_texts_of_escapes_are_refused_in_linear_time() -> None:
    # A scanner that starts again at every quote would need hours for this.
    assert refusal(b'{"a":"' + b'\\"' * 500_000 + b"[" * 200)


def test_of_a_key_given_twice_the_last_counts() -> None:
    doubled = event().replace(b"{", b'{"event_id": "first", "identity": {"email": "first@example.com"}, ', 1)

    record = read(doubled)

    assert (record.event_id, record.identity.email) == ("e-1", "hanako.yamada@example.jp")


def test_empty_and_null_mean_absent_in_what_clients_write() -> None:
    sparse = event(
        mode="",
        person={"name": "", "employees": "", "message": None},
        context={"utm": {"source": ""}, "click_ids": {"gclid": ""}},
        identity={"email": "a@example.com", "phone": "", "external_ids": {"crm": "", "erp": None, "sfa": "7"}},
    )
    plain = event(
        person={},
        context={"utm": {}, "click_ids": {}},
        identity={"email": "a@example.com", "external_ids": {"sfa": "7"}},
    )

    assert read(sparse) == read(plain)


def test_null_where_a_struct_takes_none_is_absent_too() -> None:
    with_null = event(consent={"marketing": True}).replace(b'"source"', b'"mode": null, "source"')

    assert read(with_null) == read(event(consent={"marketing": True}))


def test_the_clients_own_properties_are_left_as_they_are() -> None:
    properties = {"a": "", "b": None, "c": {"d": ""}}

    assert read(event(properties=properties, person={"name": ""})).properties == properties


@pytest.mark.parametrize("required", ["event_id", "type", "occurred_at", "source"])
def test_an_empty_required_field_is_a_missing_one(required: str) -> None:
    assert refusal(event(**{required: ""})) == f"Object missing required field `{required}`"


def test_a_template_left_half_empty_by_a_sales_tool_is_read() -> None:
    template = (
        b'{"event_id": "", "type": "attempted", "lead_id": "l-1", "identity": {}, "epoch": null, "occurred_at": "",'
        b' "channel": "", "meeting_at": "", "amount": null, "voice": {"text": "", "about": "", "tags": []}}'
    )
    record = decoder("lead-outcomes")(template, None)

    assert isinstance(record, LeadOutcome)
    assert (record.event_id, record.occurred_at, record.channel, record.amount) == (None, None, None, None)
    assert (record.type, record.lead_id) == ("attempted", "l-1")


def test_empty_is_a_value_in_what_we_write_ourselves() -> None:
    reason = refusal(
        b'{"decision_id": "d", "kind": "", "at": "2026-11-22T09:00:00Z", "config_version": "1"}', "lead_decision.v1"
    )

    assert reason == "Invalid enum value '' - at `$.kind`"


def test_times_are_read_as_utc() -> None:
    record = read(event(occurred_at="2026-11-22T09:00:00.5+09:00"))

    assert record.occurred_at == datetime(2026, 11, 22, 0, 0, 0, 500_000, tzinfo=UTC)
    assert record.occurred_at.tzinfo is UTC


def test_times_in_parts_are_read_as_utc_too() -> None:
    tokyo, utc = "2026-11-22T09:00:00+09:00", datetime(2026, 11, 22, tzinfo=UTC)
    record = read(event(context={"first_touch": {"at": tokyo}, "last_touch": {}}, consent={"sms": False, "at": tokyo}))

    assert record.context is not None
    assert record.context.first_touch is not None
    assert record.consent is not None
    for at in (record.context.first_touch.at, record.consent.at):
        assert at is not None
        assert (at, at.tzinfo) == (utc, UTC)


def test_a_time_in_a_part_that_utc_cannot_hold_is_poison() -> None:
    reason = refusal(event(context={"last_touch": {"at": "0001-01-01T00:00:00+09:00"}}))

    assert reason == "time outside the years 1 to 9999 - at `$.context.last_touch.at`"


def test_an_old_record_is_filled_in_to_the_newest_version() -> None:
    value = event(context={"page_url": "https://www.example.com/", "utm": {"source": "ads"}}, consent={"email": True})
    record = decoder("lead-events")(value, "lead_event.v1")

    assert record == read(value)
    assert isinstance(record, LeadEvent)
    assert record.consent == ConsentStatement(email=True)


def test_in_an_old_record_the_names_of_later_fields_mean_nothing() -> None:
    later = {"sent_at": "yesterday", "context": {"landing_url": 5, "first_touch": "an ad"}, "consent": {"basis": "fax"}}

    assert decoder("lead-events")(event(**later), "lead_event.v1") == read(event(context={}, consent={}))
    assert refusal(event(sent_at="yesterday")) == "Invalid RFC3339 encoded datetime - at `$.sent_at`"


def test_a_newer_version_of_our_own_is_waited_for() -> None:
    with pytest.raises(UnknownVersion, match=r"lead_event\.v3 is newer than this build, which reads up to version 2"):
        decoder("lead-events")(event(), "lead_event.v3")
    with pytest.raises(UnknownVersion):
        decode(event(), "lead_event.v12")


@pytest.mark.parametrize(
    "dataschema", ["lead_event.v0", "lead_event", "lead_events.v1", "lead_event.v1x", "", "\0", "lead_event.v01"]
)
def test_a_schema_that_is_not_ours_is_refused(dataschema: str) -> None:
    with pytest.raises(Poison, match="ce_dataschema"):
        decode(event(), dataschema)
    with pytest.raises(Poison, match=r"lead-events carries lead_event\.v1"):
        decoder("lead-events")(event(), dataschema)


def test_a_topic_reads_only_what_it_carries() -> None:
    with pytest.raises(Poison, match=r"lead-scores carries lead_score\.v1"):
        decoder("lead-scores")(event(), "lead_event.v1")
    with pytest.raises(Poison, match=r"lead-scores carries lead_score\.v1"):
        decoder("lead-scores")(event(), "lead_event.v2")


def test_only_outcomes_may_come_without_our_headers() -> None:
    assert decoder("lead-outcomes")(b'{"type": "won", "lead_id": "l"}', None).type == "won"
    for topic in CARRIED.keys() - {"lead-outcomes"}:
        with pytest.raises(Poison, match="no ce_dataschema header"):
            decoder(topic)(b"{}", None)


def test_a_topic_without_a_file_has_no_decoder() -> None:
    with pytest.raises(KeyError):
        decoder("lead-rumours")


def test_a_reason_can_itself_be_stored_and_is_short() -> None:
    reason = refusal(event(properties={"k" * 100_000 + "\0": 1}))

    assert len(reason) <= 500
    assert "\0" not in reason
    assert reason.encode()


def test_structs_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        read(event()).type = "x"  # type: ignore[misc]  # that is the point


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@unhurried
@given(st.binary(max_size=200), st.sampled_from(sorted(STRUCTS)))
def test_no_bytes_break_the_reader(value: bytes, dataschema: str) -> None:
    with suppress(Poison):
        decode(value, dataschema)


@unhurried
@given(st.dictionaries(st.sampled_from([*EVENT, "person", "context", "properties", "consent", "mode", "later"]), JSON))
def test_any_event_shaped_json_is_read_or_refused_and_always_alike(changes: dict[str, Any]) -> None:
    value = json.dumps({**EVENT, **changes}).encode()

    def outcome() -> object:
        try:
            return decode(value, "lead_event.v2")
        except Poison as refused:
            return str(refused)

    assert outcome() == outcome()


@unhurried
@given(TEXT.filter(bool), st.dictionaries(TEXT, TEXT, max_size=3), st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_what_is_read(name: str, properties: dict[str, str], at: datetime) -> None:
    record = msgspec.structs.replace(read(event()), person=Person(name=name), occurred_at=at, properties=properties)

    assert read(msgspec.json.encode(record)) == record
