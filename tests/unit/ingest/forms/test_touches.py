"""Where somebody came from: campaigns, click ids, and the visits that the page remembered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.ingest.domain.forms.touches import remembered
from tests.unit.ingest.forms.given import event, event_of_fields, hubspot

LANDING = "https://www.example.com/?utm_source=Google&utm_medium=cpc&gclid=Cj0KCQiA-Aa_BbCc&fbclid=IwAR0"


def context(*pairs: tuple[str, str], referer: str | None = None) -> Any:
    return event_of_fields(("email", "a@example.com"), *pairs, referer=referer).get("context")


def test_without_a_word_from_the_page_nothing_is_known() -> None:
    assert context() is None


def test_the_page_is_what_the_form_says_else_what_the_browser_says() -> None:
    assert context(referer="https://www.example.com/") == {"page_url": "https://www.example.com/"}
    said = context(("_page_url", "https://www.example.com/contact"), referer="https://www.example.com/")
    assert said["page_url"] == "https://www.example.com/contact"


def test_the_landing_url_is_kept_raw_and_read() -> None:
    assert context(("_landing_url", LANDING), ("_referrer", "https://search.example/")) == {
        "landing_url": LANDING,
        "referrer": "https://search.example/",
        "utm": {"source": "Google", "medium": "cpc"},
        "click_ids": {"gclid": "Cj0KCQiA-Aa_BbCc", "fbclid": "IwAR0"},
    }


def test_hidden_fields_come_before_addresses_and_campaigns_are_not_mixed() -> None:
    found = context(("utm_source", "newsletter"), ("gclid", "hidden"), ("_landing_url", LANDING))
    assert found["utm"] == {"source": "newsletter"}
    assert found["click_ids"] == {"gclid": "hidden", "fbclid": "IwAR0"}


def test_the_page_itself_comes_before_the_landing_page() -> None:
    found = context(("_landing_url", LANDING), referer="https://www.example.com/?utm_source=mail&utm_id=7")
    assert found["utm"] == {"source": "mail", "id": "7"}


@pytest.mark.parametrize(
    "name",
    [
        *("gclid", "gbraid", "wbraid", "gad_campaignid", "fbclid", "msclkid", "ttclid", "twclid"),
        *("li_fat_id", "rdt_cid", "sccid", "epik", "yclid", "futureclid"),
    ],
)
def test_click_ids_are_never_lower_cased(name: str) -> None:
    assert context((name, "AbC_-xYZ"))["click_ids"] == {name: "AbC_-xYZ"}
    assert context(("_page_url", f"https://e.example/?{name.upper()}=AbC"))["click_ids"] == {name: "AbC"}


def test_there_are_not_endlessly_many_click_ids() -> None:
    assert len(context(*[(f"x{number}clid", "1") for number in range(100)])["click_ids"]) == 50


def test_hubspots_page_is_read() -> None:
    made = event(hubspot({"email": "a@example.com"}, context={"pageUri": LANDING}), referer="https://other.example/")
    assert made["context"]["page_url"] == LANDING
    assert made["context"]["utm"] == {"source": "Google", "medium": "cpc"}


def test_remembered_visits() -> None:
    first = {
        "at": "2026-10-01T00:00:00Z",
        "landing_url": LANDING,
        "referrer": "https://search.example/",
        "utm": {"source": "google"},
        "click_ids": {"gclid": "AbC"},
        "unknown": 1,
    }
    found = context(("_first_touch", json.dumps(first)), ("_last_touch", LANDING))
    assert found["first_touch"] == {
        "at": "2026-10-01T00:00:00+00:00",
        "landing_url": LANDING,
        "referrer": "https://search.example/",
        "utm": {"source": "google"},
        "click_ids": {"gclid": "AbC"},
    }
    assert found["last_touch"] == {
        "landing_url": LANDING,
        "utm": {"source": "Google", "medium": "cpc"},
        "click_ids": {"gclid": "Cj0KCQiA-Aa_BbCc", "fbclid": "IwAR0"},
    }


def test_remembered_visits_with_flat_parameters() -> None:
    assert remembered('{"utm_source": "x", "gclid": "Y", "at": "yesterday", "page_url": 5}') == {
        "utm": {"source": "x"},
        "click_ids": {"gclid": "Y"},
    }


@pytest.mark.parametrize("text", ["{", "[]", "{}", "null", '"x"', "[" * 100_000, "visited twice"])
def test_what_cannot_be_read_as_a_visit_is_kept_as_typed(text: str) -> None:
    made = event_of_fields(("email", "a@example.com"), ("_first_touch", text))
    assert "context" not in made
    assert made["properties"]["fields"]["_first_touch"] == text


@pytest.mark.parametrize("name", ["_first_touch", "_last_touch"])
def test_a_remembered_text_that_was_cut_inside_an_emoji_or_holds_nul_is_taken(name: str) -> None:
    """`JSON.stringify` escapes the half that is left."""
    half, nul = "https://x.example/?q=\\ud83d", "https://x.example/?q=\\u0000"
    more = '"utm": {"so\\u0000": "\\udc00"}, "click_ids": {"a\\ud83d": "A"}'
    sent = f'{{"landing_url": "{half}", "referrer": "{nul}", {more}}}'
    assert context((name, sent))[name.removeprefix("_")] == {
        "landing_url": "https://x.example/?q=\ufffd",
        "referrer": "https://x.example/?q=␀",
        "utm": {"so␀": "\ufffd"},
        "click_ids": {"a\ufffd": "A"},
    }


@pytest.mark.parametrize("name", ["_page_url", "_landing_url"])
def test_nul_in_an_address_is_made_visible_in_what_is_read_from_it(name: str) -> None:
    address = "https://x.example/?utm_source=a%00b&gclid=%00A&utm_%00=1"
    found = context((name, address))
    assert found[name.removeprefix("_")] == address
    assert (found["utm"], found["click_ids"]) == ({"source": "a␀b", "␀": "1"}, {"gclid": "␀A"})
    assert context(referer=address)["utm"] == found["utm"]


@pytest.mark.parametrize("url", ["http://[", "https://e.example/?" + "a=1&" * 5000, "//", "?gclid", "\ufffd"])
def test_addresses_that_are_none_do_no_harm(url: str) -> None:
    assert context(("_landing_url", url)) == {"landing_url": url}
