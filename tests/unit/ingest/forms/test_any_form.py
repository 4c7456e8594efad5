"""Whatever is posted, it is read or refused by name; and what is read makes an event that the intake takes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.acceptance import Accepted
from services.ingest.domain.decoding import NotJson
from services.ingest.domain.fields import Unfit
from services.ingest.domain.forms.charsets import storable
from services.ingest.domain.forms.event import Arrival, event_of, id_of_a_double_click, nobody
from services.ingest.domain.forms.reading import NotAForm, TooMuch, UnknownMediaType, read
from services.ingest.domain.forms.spam import signs, token_key
from services.ingest.domain.forms.submission import Submission
from tests.unit.ingest.forms.given import MULTIPART, event_of_fields, multipart, urlencoded
from tests.unit.ingest.given import NOW, judge

NAMES = [
    *(
        "email",
        "メールアドレス",
        "tel",
        "tel1",
        "tel2",
        "お名前",
        "姓",
        "名",
        "セイ",
        "従業員数",
        "message[]",
        "0-2/name",
    ),
    *("consent_email", "newsletter", "同意", "consent_text", "utm_source", "gclid", "password", "website_confirm_url"),
    *(
        "_type",
        "_event_id",
        "_token",
        "_first_touch",
        "_landing_url",
        "_page_url",
        "_visitor_id",
        "_charset_",
        "q1",
        "q2",
        "q3",
    ),
]
UNSTORABLE = ['{"landing_url": "\\ud83d", "utm": {"a": "\\u0000"}}', "https://e.example/?utm_source=%00&gclid=%00"]
OWN = {"q1": "person.employees", "q2": "consent.at", "q3": "properties.fields"}
CONTENT_TYPES = [
    *(b"application/x-www-form-urlencoded", b"application/json", b"text/plain", b"", b"multipart/form-data", MULTIPART),
    *(b"application/x-www-form-urlencoded; charset=euc-jp", b"text/plain;charset=iso-2022-jp", b"x/\xff; charset=\xff"),
]

names = st.sampled_from(NAMES) | st.text(max_size=8)
texts = (
    st.text(st.characters(codec="utf-8"), max_size=30)
    | st.sampled_from(
        [
            "a@example.com",
            "yes",
            "1,200",
            "03",
            "1234",
            "v-1",
            "https://e.example/?gclid=A",
            "{}",
            '{"at": 1}',
            *UNSTORABLE,
        ]
    )
    | st.binary(max_size=20).map(lambda raw: raw.decode("latin-1"))
)
pairs = st.lists(st.tuples(names, texts), max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=15,
)
hubspot = st.fixed_dictionaries(
    {"fields": st.lists(st.fixed_dictionaries({"name": names, "value": anything}), max_size=5)},
    optional={"context": anything, "legalConsentOptions": anything, "submittedAt": anything},
)


def made_of(submission: Submission) -> dict[str, Any]:
    arrival = Arrival(
        "contact", OWN, "website_confirm_url", "https://www.example.com/", "1", {"turnstile": "unavailable"}
    )
    id_of_a_double_click(submission, "contact")
    signs(submission, form="contact", honeypot="website_confirm_url", key=token_key("s"), now=NOW, min_fill_seconds=2.0)
    return event_of(submission, arrival)


def check(body: bytes, content_type: bytes) -> None:
    try:
        submission = read(body, content_type)
    except (NotAForm, NotJson, TooMuch, UnknownMediaType, Unfit):
        return
    event = made_of(submission)
    if nobody(event):
        return
    verdict = judge(msgspec.json.encode(event))
    assert isinstance(verdict, Accepted), verdict


@given(st.binary(max_size=300), st.sampled_from(CONTENT_TYPES) | st.binary(max_size=40))
def test_any_bytes(body: bytes, content_type: bytes) -> None:
    check(body, content_type)


@given(pairs, st.sampled_from(["utf-8", "cp932", "euc_jp"]))
def test_any_fields(given_pairs: list[tuple[str, str]], charset: str) -> None:
    somebody = [*given_pairs, ("email", "a@example.com")]
    check(urlencoded(somebody, charset), b"application/x-www-form-urlencoded")
    check(multipart(somebody, charset), MULTIPART)


@given(anything | hubspot)
def test_any_json(sent: Any) -> None:
    check(json.dumps(sent).encode(), b"application/json")


@given(
    st.permutations(
        [("email", "a@example.com"), ("姓", "山田"), ("名", "太郎"), ("会社名", "例社"), ("mail", "b@x.example")]
    )
)
def test_any_order_of_fields_says_the_same(ordered: list[tuple[str, str]]) -> None:
    event = event_of_fields(*ordered)
    assert event["identity"] == {"email": "a@example.com"}
    assert event["person"] == {"last_name": "山田", "first_name": "太郎", "company": "例社"}


@given(st.lists(texts.filter(str.strip), max_size=8))
def test_every_text_typed_is_in_the_event(typed: list[str]) -> None:
    event = event_of_fields(*((f"frage {number}", text) for number, text in enumerate(typed)))
    assert event["properties"]["fields"] == {f"frage {number}": storable(text) for number, text in enumerate(typed)}


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_name_is_never_changed(first: str, last: str) -> None:
    event = event_of_fields(("first_name", first), ("last_name", last))
    person = event.get("person", {})
    assert person.get("first_name", "") == storable(first.strip())
    assert person.get("last_name", "") == storable(last.strip())
