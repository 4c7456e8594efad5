"""From the bytes of a post to its fields."""

from __future__ import annotations

import json

import pytest

from services.ingest.domain.decoding import NotJson
from services.ingest.domain.fields import Unfit
from services.ingest.domain.forms import bounds
from services.ingest.domain.forms.reading import (
    JSON,
    URLENCODED,
    NotAForm,
    TooMuch,
    UnknownMediaType,
    read,
)
from services.ingest.domain.forms.submission import Field
from tests.unit.ingest.forms.given import MULTIPART, hubspot, multipart, read_urlencoded, urlencoded

PAIRS = [("氏名", "表 能ソ"), ("mail", "taro@example.com"), ("ご興味[]", "a&b=c"), ("ご興味[]", "100%"), ("empty", "")]


@pytest.mark.parametrize("charset", ["utf-8", "cp932", "euc_jp"])
def test_urlencoded_and_multipart_say_the_same(charset: str) -> None:
    """A Shift_JIS 表 ends in a backslash, which must not swallow the quote after a field's name."""
    declared = charset.replace("_", "-")
    label = [("_charset_", declared)]
    for body, content_type in (
        (urlencoded([*PAIRS, *label], charset), URLENCODED.encode()),
        (multipart([*PAIRS, *label], charset), MULTIPART),
    ):
        submission = read(body, content_type)
        assert submission.fields[:-1] == tuple(PAIRS)
        assert submission.charset == declared


def test_names_that_end_in_a_backslash_in_shift_jis() -> None:
    pairs = [("予定表", "来週"), ("機能", "ソート")]
    assert read(multipart(pairs, "cp932"), MULTIPART).fields == tuple(pairs)


def test_quotes_in_names_come_back() -> None:
    assert read(multipart([('say "hi"', "x")]), MULTIPART).fields == (Field('say "hi"', "x"),)


def test_of_a_file_its_name_and_size_are_kept_and_nothing_else() -> None:
    body = multipart([("email", "a@example.com")], files=[("plan", "企画書.pdf", b"%PDF" * 25), ("other", "", b"")])
    submission = read(body, MULTIPART)
    assert submission.filled == (Field("email", "a@example.com"), Field("plan", "企画書.pdf (100 bytes)"))


def test_bytes_of_a_file_do_not_change_how_the_fields_are_read() -> None:
    body = multipart([("氏名", "山田さん")], files=[("logo", "a.png", bytes(range(256)))])
    assert read(body, MULTIPART).charset == "utf-8"


def test_a_charset_in_the_content_type_is_believed() -> None:
    assert read_urlencoded(urlencoded([("name", "ﾔﾏﾀﾞ")], "cp932"), "Shift_JIS").fields == (Field("name", "ﾔﾏﾀﾞ"),)


def test_json_is_taken_flat_with_lists_as_repeated_fields() -> None:
    sent = {"email": "a@example.com", "employees": 1200, "ratio": 1.50, "ok": True, "none": None, "tags": ["x", "y"]}
    assert read(json.dumps(sent).encode(), JSON.encode()).fields == (
        ("email", "a@example.com"),
        ("employees", "1200"),
        ("ratio", "1.5"),
        ("ok", "true"),
        ("tags", "x"),
        ("tags", "y"),
    )


@pytest.mark.parametrize("content_type", ["text/plain;charset=UTF-8", "application/json", ""])
def test_json_comes_under_the_types_that_scripts_use(content_type: str) -> None:
    assert read(b'\xef\xbb\xbf{"email": "a@example.com"}'[3:], content_type.encode()).text("email") == "a@example.com"


def test_json_with_half_a_surrogate_pair_nul_or_a_byte_order_mark_is_taken() -> None:
    sent = b'\xef\xbb\xbf{"name": "\\ud83d", "a\\u0000": "\\u0000"}'
    assert read(sent, JSON.encode()).fields == (("name", "\ufffd"), ("a␀", "␀"))


def test_hubspots_shape_is_recognised() -> None:
    submission = hubspot({"email": "a@example.com"}, context={"hutk": "u"}, submittedAt="1517927174000")
    assert submission.fields == (Field("email", "a@example.com"),)
    assert submission.hubspot is not None
    assert submission.hubspot.context == {"hutk": "u"}


def test_a_company_field_of_hubspot_is_told_from_the_persons() -> None:
    body = {"fields": [{"objectTypeId": "0-2", "name": "name", "value": "例社"}, {"name": "0-2/city", "value": "x"}]}
    assert read(json.dumps(body).encode(), JSON.encode()).fields == (("0-2/name", "例社"), ("0-2/city", "x"))


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b"{", JSON, NotJson),
        (b"", JSON, NotJson),
        (b"name=x", "text/plain", NotJson),
        (b"[1]", JSON, Unfit),
        (b'{"fields": [{"value": "x"}]}', JSON, Unfit),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, JSON, Unfit),
        (b"x", "multipart/form-data", NotAForm),
        (b"x", "multipart/form-data; boundary=b", NotAForm),
        (b"--b\r\n" * 3, "multipart/form-data; boundary=b", NotAForm),
        (b"x", f"multipart/form-data; boundary={'b' * 1000}", NotAForm),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nhalf', "multipart/form-data; boundary=b", NotAForm),
        (b"<x/>", "application/xml", UnknownMediaType),
        (b"a=1&" * 901, URLENCODED, TooMuch),
        (json.dumps({"a": ["x"] * 1001}).encode(), JSON, TooMuch),
        (json.dumps({"fields": [{"name": "a", "value": "b"}] * 1001}).encode(), JSON, TooMuch),
        (b"a=" + b"x" * bounds.TEXT_BYTES_MAX, URLENCODED, TooMuch),
        (b'{"a": "' + b"x" * bounds.TEXT_BYTES_MAX + b'"}', JSON, TooMuch),
        (b"a" * 257 + b"=1", URLENCODED, Unfit),
    ],
)
def test_what_cannot_be_read_is_named(body: bytes, content_type: str, error: type[Exception]) -> None:
    with pytest.raises(error) as found:
        read(body, content_type.encode())
    assert "half" not in str(found.value)


def test_as_many_fields_as_allowed_are_read() -> None:
    pairs = [(f"f{number}", "x") for number in range(bounds.FIELDS_MAX)]
    assert len(read(urlencoded(pairs), URLENCODED.encode()).fields) == bounds.FIELDS_MAX
    assert len(read(multipart(pairs), MULTIPART).fields) == bounds.FIELDS_MAX
    with pytest.raises(TooMuch):
        read(multipart([*pairs, ("one", "more")]), MULTIPART)
