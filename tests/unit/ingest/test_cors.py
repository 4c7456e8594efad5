"""What browsers are told about pages of other origins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.cors import answer_headers, preflight_headers

SHOP = "https://www.example.com"


def test_a_page_of_an_allowed_origin_may_read_the_answer() -> None:
    assert answer_headers(SHOP, allowed=True) == {
        b"vary": b"Origin",
        b"access-control-allow-origin": SHOP.encode(),
        b"access-control-expose-headers": b"retry-after, idempotent-replayed",
    }


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_preflight_says_what_the_page_may_send(method: str) -> None:
    assert preflight_headers(SHOP, method, allowed=True) == {
        b"vary": b"Origin",
        b"access-control-allow-origin": SHOP.encode(),
        b"access-control-allow-methods": method.encode(),
        b"access-control-allow-headers": b"content-type, authorization, idempotency-key, content-encoding, traceparent",
        b"access-control-max-age": b"3600",
    }


def test_other_origins_learn_nothing_but_that_caches_must_tell_them_apart() -> None:
    assert answer_headers(SHOP, allowed=False) == {b"vary": b"Origin"}
    assert preflight_headers(SHOP, "POST", allowed=False) == {b"vary": b"Origin"}


@pytest.mark.parametrize(
    "origin",
    [
        *("http://localhost:3000", "https://[2001:db8::1]:8443", "https://xn--r8jz45g.example.com"),
        *("capacitor://localhost", "chrome-extension://abcdefghijklmnop", "http://under_score.example.com"),
    ],
)
def test_every_serialised_origin_is_sent_back_as_it_is(origin: str) -> None:
    assert answer_headers(origin, allowed=True)[b"access-control-allow-origin"] == origin.encode()


@pytest.mark.parametrize(
    "origin", ["", "null", "*", "https://", "https://a b", "https://a/path", f"{SHOP}, {SHOP}", f"{'a' * 300}://b"]
)
def test_what_is_no_origin_is_never_sent_back_even_where_all_are_allowed(origin: str) -> None:
    assert answer_headers(origin, allowed=True) == {b"vary": b"Origin"}


@given(st.text() | st.text().map(SHOP.__add__), st.booleans())
def test_nothing_that_breaks_a_header_gets_into_one(origin: str, allowed: bool) -> None:
    for headers in (answer_headers(origin, allowed=allowed), preflight_headers(origin, "POST", allowed=allowed)):
        for value in headers.values():
            assert value.isascii()
            assert value.decode().isprintable()
        assert b"access-control-allow-credentials" not in headers
