"""The event of a form as a whole: what is kept, what is never kept, and what the page itself says."""

from __future__ import annotations

import pytest

from services.ingest.domain.forms.event import id_of_a_double_click, nobody
from services.ingest.domain.forms.submission import Field, Submission
from tests.unit.ingest.forms.given import event, event_of_fields, hubspot, submitted

SOMEBODY = ("email", "taro@example.com")


def test_everything_typed_is_kept_under_its_own_name() -> None:
    event = event_of_fields(SOMEBODY, ("ご予算", "１００万円"), ("趣味", "旅行"), ("趣味", "将棋"), ("blank", " "))
    assert event["properties"]["fields"] == {
        "email": "taro@example.com",
        "ご予算": "１００万円",
        "趣味": ["旅行", "将棋"],
    }
    assert event["type"] == "form.submitted"
    assert event["properties"]["form"] == "contact"
    assert "charset" not in event["properties"]


@pytest.mark.parametrize(
    "name",
    [
        *("password", "user_passwd", "Password2", "pwd", "パスワード", "暗証番号"),
        *("card_number", "cc-number", "cc-csc", "cvv", "クレジットカード番号", "セキュリティコード"),
        *("マイナンバー", "個人番号"),
    ],
)
def test_what_must_never_be_stored_is_not(name: str) -> None:
    event = event_of_fields(SOMEBODY, (name, "4111111111111111"), own_fields={name: "person.message"})
    assert "4111111111111111" not in repr(event)
    assert event["properties"]["fields_not_stored"] == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("_redirect", "_key", "_token", "_charset_"),
        *("cf-turnstile-response", "g-recaptcha-response", "csrf_token", "authenticity_token", "_wpnonce"),
    ],
)
def test_what_the_page_put_there_for_itself_is_not_kept(name: str) -> None:
    assert "secret" not in repr(event_of_fields(SOMEBODY, (name, "secret")))


@pytest.mark.parametrize("said", ["document.requested", "demo.requested", "form.submitted"])
def test_a_form_may_say_what_it_is_for(said: str) -> None:
    event = event_of_fields(SOMEBODY, ("_type", said))
    assert event["type"] == said
    assert "_type" not in event["properties"]["fields"]


def test_a_form_may_not_claim_any_type() -> None:
    event = event_of_fields(SOMEBODY, ("_type", "trial.started"))
    assert event["type"] == "form.submitted"
    assert event["properties"]["fields"]["_type"] == "trial.started"


def test_a_charset_other_than_utf_8_is_told() -> None:
    assert event(Submission((Field(*SOMEBODY),), "cp932"))["properties"]["charset"] == "cp932"


def test_what_is_in_the_honeypot_is_kept_for_whoever_judges_and_says_nothing_else() -> None:
    made = event_of_fields(SOMEBODY, ("company", "Spam & Sons"), ("q", "b@example.com"), honeypot="company")
    assert made["properties"]["fields"]["company"] == "Spam & Sons"
    assert "person" not in made
    assert "identity" not in event_of_fields(("q", "b@example.com"), honeypot="q")


def test_the_forms_own_id_is_taken() -> None:
    made = event_of_fields(SOMEBODY, ("_event_id", "e" * 128))
    assert made["event_id"] == "e" * 128
    assert "_event_id" not in made["properties"]["fields"]


def test_an_id_too_long_for_one_still_makes_the_same_event_the_same() -> None:
    long = "e" * 129
    made = event_of_fields(SOMEBODY, ("_event_id", long))
    assert len(made["event_id"]) == 36
    assert made == event_of_fields(SOMEBODY, ("_event_id", long))
    assert made["event_id"] != event_of_fields(SOMEBODY, ("_event_id", long + "e"))["event_id"]
    assert made["properties"]["fields"]["_event_id"] == long


def test_a_visitor_id_too_long_for_one_stays_among_the_fields() -> None:
    fits, long = "v" * 256, "v" * 257
    made = event_of_fields(SOMEBODY, ("_visitor_id", fits))
    assert (made["identity"]["visitor_id"], made["properties"]["fields"]) == (fits, dict([SOMEBODY]))
    made = event_of_fields(SOMEBODY, ("_visitor_id", long), ("hubspotutk", "h-1"))
    assert made["identity"]["visitor_id"] == "h-1"
    assert made["properties"]["fields"]["_visitor_id"] == long


def test_a_portal_that_cannot_be_stored_spoils_nothing() -> None:
    assert event(hubspot({"email": "a@example.com"}), portal="1\0")["properties"]["hubspot"] == {"portal": "1␀"}


def test_hubspots_time_and_context_are_kept_without_the_ip_address() -> None:
    sent = hubspot(
        {"email": "a@example.com"},
        submittedAt="1790000000000",
        context={"pageUri": "https://www.example.com/", "pageName": "Top", "ipAddress": "192.0.2.1"},
    )
    made = event(sent, portal="123")
    assert made["occurred_at"] == "2026-09-21T14:13:20+00:00"
    assert made["context"]["page_url"] == "https://www.example.com/"
    assert made["properties"]["hubspot"] == {
        "portal": "123",
        "context": {"pageUri": "https://www.example.com/", "pageName": "Top"},
    }
    assert "192.0.2.1" not in repr(made)


@pytest.mark.parametrize("at", ["", "yesterday", 1.5, None, "9" * 15, "9" * 5000, True, {}])
def test_a_time_of_hubspots_that_is_none_is_ignored(at: object) -> None:
    assert "occurred_at" not in event(hubspot({"email": "a@example.com"}, submittedAt=at))


def test_somebody_must_be_told_from_the_form() -> None:
    def pointers(*pairs: tuple[str, str]) -> list[str]:
        return [fault.pointer for fault in nobody(event_of_fields(*pairs))]

    assert pointers(SOMEBODY) == []
    assert pointers(("お名前", "山田")) == ["/email", "/phone"]
    assert pointers(("email", "taro.example.com")) == ["/email"]
    assert pointers(("email", "x"), ("tel", "none")) == ["/email", "/phone"]
    assert pointers(("email", "x"), ("_visitor_id", "v-1")) == []
    assert pointers(("email", "none"), ("tel", "０３")) == []


def test_a_double_click_has_one_id() -> None:
    once = submitted(SOMEBODY, ("_token", "t"), ("cf-turnstile-response", "first"))
    again = submitted(SOMEBODY, ("_token", "t"), ("cf-turnstile-response", "second"))
    assert id_of_a_double_click(once, "contact") == id_of_a_double_click(again, "contact") is not None
    assert event(once) == event(again), "the same id with another body would be put aside"


@pytest.mark.parametrize(
    "other",
    [
        submitted(SOMEBODY, ("_token", "u")),
        submitted(("email", "hanako@example.com"), ("_token", "t")),
        submitted(SOMEBODY, ("message", "more"), ("_token", "t")),
    ],
)
def test_another_submission_has_another_id(other: Submission) -> None:
    first = id_of_a_double_click(submitted(SOMEBODY, ("_token", "t")), "contact")
    assert first != id_of_a_double_click(other, "contact")
    assert first != id_of_a_double_click(submitted(SOMEBODY, ("_token", "t")), "fair")


def test_without_a_token_two_people_may_send_the_same() -> None:
    assert id_of_a_double_click(submitted(SOMEBODY), "contact") is None
