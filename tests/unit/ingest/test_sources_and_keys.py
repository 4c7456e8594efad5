"""What a source and a key look like, and where a source lets people be sent to."""

from __future__ import annotations

import encodings.idna
import re
import unicodedata
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.access import Book, bearer, page_of
from services.ingest.domain.forms.redirects import location
from services.ingest.domain.keys import digest_of, hint_of, looks_like_key, looks_secret, make_key, random_bytes_of
from services.ingest.domain.source import (
    ORIGIN_CHARS_MAX,
    REDIRECT_CHARS_MAX,
    KeyKind,
    Source,
    is_field,
    normalise_origin,
    normalise_redirect,
)

# -- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shape"), [(KeyKind.WRITE, r"fwk_[A-Za-z0-9_-]{32}"), (KeyKind.SECRET, r"fsk_[A-Za-z0-9_-]{43}")]
)
def test_a_key_tells_its_kind_and_can_stand_in_a_url(kind: KeyKind, shape: str) -> None:
    for random in (bytes(random_bytes_of(kind)), b"\xff" * random_bytes_of(kind)):
        assert re.fullmatch(shape, make_key(kind, random))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_other_random_bytes_make_another_key(one: bytes, other: bytes) -> None:
    keys = make_key(KeyKind.SECRET, one), make_key(KeyKind.SECRET, other)
    assert (keys[0] == keys[1]) == (one == other)
    assert (digest_of(keys[0]) == digest_of(keys[1])) == (one == other)


@pytest.mark.parametrize("kind", KeyKind)
def test_too_little_randomness_makes_no_key(kind: KeyKind) -> None:
    with pytest.raises(ValueError, match="bytes"):
        make_key(kind, b"short")


def test_what_is_kept_of_a_key_does_not_hold_it() -> None:
    key = make_key(KeyKind.SECRET, bytes(range(32)))
    assert hint_of(key) == key[:8]
    assert len(digest_of(key)) == 32
    assert looks_secret(key)
    assert not looks_secret(make_key(KeyKind.WRITE, bytes(24)))


@pytest.mark.parametrize("kind", KeyKind)
def test_our_keys_are_told_from_the_tokens_of_others(kind: KeyKind) -> None:
    assert looks_like_key(make_key(kind, bytes(random_bytes_of(kind))))
    assert [text for text in ("", "pat-na1-0000", "fwk", "FWK_", "eyJhbGciOi") if looks_like_key(text)] == []


def test_any_text_may_be_presented_as_a_key() -> None:
    assert len(digest_of("\ud800 \x00 ключ")) == 32


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"Bearer fsk_1", "fsk_1"),
        (b"bearer fsk_1", "fsk_1"),
        (b"BEARER   fsk_1 ", "fsk_1"),
        (b"Bearer", ""),
        (b"Bearer ", ""),
        (b"Basic dXNlcjpwYXNz", None),
        (b"fsk_1", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_the_key_is_read_from_a_bearer_header_only(header: bytes, key: str | None) -> None:
    assert bearer(header) == key


# -- origins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://www.example.com", "https://www.example.com"),
        ("HTTPS://WWW.Example.COM", "https://www.example.com"),
        ("https://www.example.com/", "https://www.example.com"),
        ("https://www.example.com:443", "https://www.example.com"),
        ("http://www.example.com:80", "http://www.example.com"),
        ("http://www.example.com:443", "http://www.example.com:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://[2001:DB8:0:0:0:0:0:1]", "http://[2001:db8::1]"),
        ("https://ｗｗｗ。Example．com", "https://www.example.com"),
        ("https://例え.example.com", "https://xn--r8jz45g.example.com"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("www.example.com", None),
        ("https://", None),
        ("https://www.example.com/page", None),
        ("https://user@www.example.com", None),
        ("https://www.example.com:99999", None),
        ("https://www.example.com:x", None),
        ("https://a b.example.com", None),
        ("https://..example.com.例え", None),
        ("http://[1.2]", None),
        ("http://[::1", None),
        ("http://[]", None),
        ("http://[:::::::::]", None),
        ("http://a［b", None),
        ("http://a＠b", None),
        ("http://a＼b", None),
        ("http://a／b", None),
        ("http://a：80", None),
        ("http://a%20b", None),
        ("http://a|b", None),
        (f"http://{'a' * 254}", None),
        (f"{'a' * 33}://localhost", None),
        ("*", None),
        ("null", None),
        ("", None),
    ],
)
def test_an_origin_is_normalised_as_browsers_write_it(written: str, origin: str | None) -> None:
    assert normalise_origin(written) == origin


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    for normalise in (normalise_origin, normalise_redirect):
        once = normalise(text)
        assert once is None or normalise(once) == once


STRICT: Final = r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?"

SEPARATORS: Final = "\\@/?#:[]% \t"
DISGUISED: Final = [
    sign for sign in map(chr, range(0x80, 0x10000)) if set(unicodedata.normalize("NFKC", sign)) & set(SEPARATORS)
]
"""Characters that are no separators, and of which normalisation makes some."""

tricky = st.text(st.sampled_from(DISGUISED) | st.sampled_from(SEPARATORS + "a.。\u00adＡ１é\u200b") | st.characters())


@given(st.lists(tricky | st.sampled_from(["localhost", "example.com", "[::1]", "[1.2]", "xn--"]), max_size=6))
def test_a_host_is_one_for_every_reader_or_none(parts: list[str]) -> None:
    origin = normalise_origin("http://" + "".join(parts))
    assert origin is None or re.fullmatch(STRICT, origin)


@pytest.fixture
def turned_into_ascii(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels that IDNA is asked about: its time grows with the square of their length."""
    labels: list[str] = []
    real = encodings.idna.ToASCII

    def counted(label: str) -> bytes:
        labels.append(label)
        return real(label)

    monkeypatch.setattr(encodings.idna, "ToASCII", counted)
    return labels


@pytest.mark.parametrize("length", [254, ORIGIN_CHARS_MAX, 250_000])
def test_a_long_host_is_never_turned_into_ascii(turned_into_ascii: list[str], length: int) -> None:
    host = "".join(chr(0x4E00 + index % 20_000) for index in range(length))
    shop = Source("shop", origins=("https://www.example.com",), redirects=("https://www.example.com/",))
    assert normalise_origin(f"https://{host}") is None
    assert normalise_redirect(f"https://{host}/") is None
    assert not shop.takes_origin(f"https://{host}")
    assert not Book.of([shop], []).takes_origin(f"https://{host}")
    assert not shop.may_redirect_to(f"https://{host}/")
    assert turned_into_ascii == []
    assert normalise_origin("https://例え.example.com") is not None
    assert turned_into_ascii, "the fixture does not see what it is to count"


def test_origins_are_compared_whole() -> None:
    shop = Source("shop", origins=("https://www.example.com",))
    assert shop.takes_origin("https://www.example.com")
    assert shop.takes_origin("HTTPS://www.example.com:443")
    for other in (
        *("https://www.example.com.evil.example", "https://evil.example", "http://www.example.com"),
        *("https://www.example.com:8443", "https://shop.www.example.com", "https://www.example.comm", "null", ""),
    ):
        assert not shop.takes_origin(other), other


def test_a_star_takes_any_origin_and_no_origins_take_none() -> None:
    assert Source("shop", origins=("*",)).takes_origin("https://anywhere.example")
    assert not Source("shop").takes_origin("https://www.example.com")


@pytest.mark.parametrize(
    ("header", "page"), [(None, None), (b"null", None), (b"", None), (b"https://a.b", "https://a.b")]
)
def test_an_origin_called_null_counts_as_absent(header: bytes | None, page: str | None) -> None:
    assert page_of(header) == page


def test_an_origin_that_is_too_long_stays_a_page_and_is_no_origin_any_more() -> None:
    page = page_of(b"https://www.example.com" + b"a" * 100_000)
    assert page is not None
    assert ORIGIN_CHARS_MAX < len(page) < 2 * ORIGIN_CHARS_MAX
    assert normalise_origin(page) is None


# -- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "prefix"),
    [
        ("https://www.example.com", "https://www.example.com/"),
        ("https://WWW.example.com:443/Thanks/", "https://www.example.com/Thanks/"),
        ("http://localhost/", "http://localhost/"),
        ("//www.example.com/", None),
        ("/thanks", None),
        ("javascript://www.example.com/%0aalert(1)", None),
        ("https://www.example.com/?next=", None),
        ("https://www.example.com/#here", None),
        ("https://www.example.com/a/../", None),
        ("https://user:password@www.example.com/", None),
        ("ftp://www.example.com/", None),
    ],
)
def test_a_redirect_is_kept_as_the_beginning_of_urls(written: str, prefix: str | None) -> None:
    assert normalise_redirect(written) == prefix


SHOP = Source("shop", redirects=("https://www.example.com/", "https://partner.example/thanks/", "http://localhost/"))


@pytest.mark.parametrize(
    "url",
    [
        "https://www.example.com",
        "https://www.example.com/thanks?lead=1#top",
        "https://www.example.com?next=1",
        "HTTPS://WWW.EXAMPLE.COM:443/thanks",
        "https://partner.example/thanks/a",
        "http://localhost/thanks",
        "http://localhost:3000/thanks",
    ],
)
def test_people_are_sent_on_to_pages_of_the_list(url: str) -> None:
    assert SHOP.may_redirect_to(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/thanks",
        "thanks",
        "//www.example.com/",
        "//evil.example",
        "https:www.example.com/",
        "https://evil.example/",
        "https://www.example.com.evil.example/",
        "https://www.example.com@evil.example/",
        "https://www.example.com:pass@evil.example/",
        "https://evil.example\\@www.example.com/",
        "https://www.example.com\\.evil.example/",
        "https:\\\\www.example.com/",
        "http://www.example.com/",
        "https://www.example.com:8443/",
        "https://www.example.com/\r\nset-cookie: a=b",
        "https://www.example.com/\x00",
        " https://evil.example/",
        "https://partner.example/other",
        "https://partner.example/thanks/../other",
        "https://partner.example/thanks/%2e%2e/other",
        "https://localhost:3000/",
        "http://localhost.evil.example/",
        "javascript:alert(1)",
        "javascript://www.example.com/%0aalert(1)",
        "data:text/html,hello",
        "https://www.example.com\N{NO-BREAK SPACE}",
        "http://[1.2]/",
        "http://[::1/",
        "http://a［b/",
        "http://evil.example＼＠localhost/",
        "http://evil.example＠localhost/",
        "http://localhost＠evil.example/",
        "http://localhost／.evil.example/",
        "http://localhost：80＠evil.example/",
        f"https://www.example.com/{'a' * REDIRECT_CHARS_MAX}",
    ],
)
def test_nobody_is_sent_anywhere_else(url: str) -> None:
    assert not SHOP.may_redirect_to(url)


@given(st.text(max_size=40), st.sampled_from(["", "https://", "https://www.example.com", "https://www.example.com/"]))
def test_whatever_is_asked_for_people_stay_on_the_listed_hosts(text: str, start: str) -> None:
    url = start + text
    if Source("shop", redirects=("https://www.example.com/",)).may_redirect_to(url):
        assert re.match(r"https://www\.example\.com(:443)?([/?#]|$)", url, re.IGNORECASE)


def goes_to(url: str) -> tuple[str, str] | None:
    """Scheme and host of an address that every browser reads alike; None of any other."""
    found = re.fullmatch(r"(https?)://([a-z0-9.-]+)(?::[0-9]{1,5})?(?:[/?#][!-\[\]-~]*)?", url)
    return None if found is None else (found[1], found[2])


@given(
    st.lists(tricky | st.sampled_from(["localhost", "evil.example", "＼＠", "/", "@", ":80"]), min_size=1, max_size=6)
)
def test_no_disguise_of_a_separator_leads_elsewhere(parts: list[str]) -> None:
    shop = Source("shop", redirects=("http://localhost/", "http://evil.example.localhost/"))
    for url in ("http://" + "".join(parts), "http://" + "".join(parts) + "localhost/"):
        allowed, target = shop.may_redirect_to(url), location(url, None, shop)
        assert target is None or allowed
        assert target is None or goes_to(target) in [("http", "localhost"), ("http", "evil.example.localhost")]


def test_a_redirect_that_was_written_into_the_table_by_hand_is_no_bug() -> None:
    shop = Source("shop", redirects=("http://[1.2]/", "http://a［b/", "nonsense", "http://[::1]/"))
    assert not shop.may_redirect_to("https://www.example.com/")
    assert not shop.may_redirect_to("http://localhost:3000/")
    assert shop.may_redirect_to("http://[::1]:3000/thanks")


# -- fields of forms -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["person.company", "identity.email", "identity.external_ids.crm", "consent.sms", "properties.company-size"],
)
def test_a_form_field_can_be_mapped_to_a_field_of_ours(path: str) -> None:
    assert is_field(path)


@pytest.mark.parametrize(
    "path",
    ["", "person", "person.shoe_size", "event_id", "source", "properties.", "properties.a b", "identity.__class__"],
)
def test_a_form_field_cannot_be_mapped_to_anything_else(path: str) -> None:
    assert not is_field(path)
