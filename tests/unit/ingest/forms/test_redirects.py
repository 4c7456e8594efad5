"""Where people are sent on to: never anywhere but to pages that the source lists."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.domain.forms.redirects import location
from services.ingest.domain.source import Source

SOURCE = Source("shop", redirects=("https://www.example.com/", "https://lp.example.com/thanks/"))
PAGE = "https://www.example.com/contact?x=1"


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        ("https://www.example.com/thanks", "https://www.example.com/thanks"),
        ("https://www.example.com/thanks?a=1&b=%E3#top", "https://www.example.com/thanks?a=1&b=%E3#top"),
        ("HTTPS://WWW.EXAMPLE.COM/Thanks", "https://www.example.com/Thanks"),
        ("https://www.example.com:443/", "https://www.example.com/"),
        ("https://www.example.com", "https://www.example.com/"),
        ("https://www.example.com?x=/", "https://www.example.com/?x=/"),
        ("https://www.example.com/ありがとう", "https://www.example.com/%E3%81%82%E3%82%8A%E3%81%8C%E3%81%A8%E3%81%86"),
        ("https://lp.example.com/thanks/1", "https://lp.example.com/thanks/1"),
        ("/thanks", "https://www.example.com/thanks"),
        ("///evil.example/", "https://www.example.com/evil.example/"),
    ],
)
def test_listed_pages(wanted: str, sent: str) -> None:
    assert location(wanted, PAGE, SOURCE) == sent


EVIL = [
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "/\t/evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https://www.example.com.evil.example/",
    "https://www.example.com@evil.example/",
    "https://www.example.com:x@evil.example/",
    "https://www.example.com\\@evil.example/",
    "https://www.example.com%2f@evil.example/",
    "https://www.example.com%40evil.example/",
    "https://www.example.com;evil.example/",
    "https://www.example.com,evil.example/",
    "https://www.example.com:444/",
    "https://www.example.com:443@evil.example/",
    "https://wwwXexample.com/",
    "https://evil.example#https://www.example.com/",
    "https://evil.example?https://www.example.com/",
    "http://www.example.com/",
    "javascript:alert(1)//https://www.example.com/",
    "javascript://www.example.com/%0aalert(1)",
    "data:text/html,https://www.example.com/",
    " https://evil.example/",
    "https://www.example.com/\r\nSet-Cookie: a=b",
    "https://www.example.com/\n",
    "https://www.example.com\u3002evil.example/",
    "https://lp.example.com/",
    "https://lp.example.com/thanks/../admin",
    "https://lp.example.com/thanks/%2e%2e/admin",
    "https://lp.example.com/thanks/..",
    "thanks",
    "",
    "\ud800",
]


@pytest.mark.parametrize("wanted", EVIL)
def test_pages_that_are_not_listed(wanted: str) -> None:
    assert location(wanted, PAGE, SOURCE) is None


def test_a_page_somewhere_else_does_not_lend_its_site() -> None:
    assert location("/thanks", "https://evil.example/", SOURCE) is None
    assert location("/thanks", None, SOURCE) is None
    assert location("/thanks", "http://[", SOURCE) is None


def test_who_lists_nothing_sends_nobody_anywhere() -> None:
    assert location("https://www.example.com/", PAGE, Source("shop")) is None


awkward = st.text(st.sampled_from("/\\:@.?#%;[]ht ps\t\nwww.examplecomevil。．/"), max_size=40)


@given(
    st.one_of(
        awkward,
        st.text(max_size=40),
        st.builds("https://www.example.com{}".format, awkward | st.text(max_size=20)),
        st.builds("{}https://www.example.com/".format, awkward),
        st.sampled_from(EVIL),
    ),
    st.none() | st.just(PAGE) | awkward,
)
@example("https://www.example.com/%5c..", None)
def test_no_text_leads_elsewhere(wanted: str, page: str | None) -> None:
    sent = location(wanted, page, SOURCE)
    if sent is None:
        return
    assert sent.isascii()
    assert sent.isprintable()
    assert " " not in sent
    assert "\\" not in sent
    where = urlsplit(sent)
    assert (where.scheme, where.netloc) in {("https", "www.example.com"), ("https", "lp.example.com")}
    assert where.netloc == "www.example.com" or where.path.startswith("/thanks/")


@pytest.mark.parametrize(
    "wanted",
    [
        "https://[1.2.3.4]/",
        "https://[::1.]/",
        "https://[www.example.com]/",
        "https://www.example.com/\ud800",
        "//[",
        "/[//",
    ],
)
def test_what_is_no_address_is_refused_without_a_word(wanted: str) -> None:
    assert location(wanted, PAGE, SOURCE) in (None, "https://www.example.com/[//")


class Unread(str):
    """Text that only its length may be asked of."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"read by {name}")


def test_an_address_without_end_is_refused_before_it_is_read() -> None:
    longest = "https://www.example.com/".ljust(2000, "a")
    assert location(longest, PAGE, SOURCE) == longest
    assert location(longest + "a", PAGE, SOURCE) is None
    assert location(Unread(longest + "a"), PAGE, SOURCE) is None


def test_a_page_with_a_long_address_may_send_on() -> None:
    """Campaigns make addresses long; of the page only its site counts."""
    assert location("/thanks", f"{PAGE}&{'a' * 5000}", SOURCE) == "https://www.example.com/thanks"
