"""Signs of spam. None of them refuses; each must spare people."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.domain.forms.spam import signs, token, token_key
from tests.unit.ingest.forms.given import submitted

KEY = token_key("a secret of the tests")
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
NONCE = b"\x00\xff" * 4


def found(
    *pairs: tuple[str, str], form: str = "contact", key: bytes | None = KEY, now: datetime = NOW, least: float = 2.0
) -> list[str]:
    fields = submitted(("email", "a@example.com"), *pairs)
    return signs(fields, form=form, honeypot="website_confirm_url", key=key, now=now, min_fill_seconds=least)


def after(seconds: float, **how: object) -> list[str]:
    """The signs of a form sent so long after its page was rendered."""
    return found(("_token", token(KEY, "contact", NOW - timedelta(seconds=seconds), NONCE)), **how)  # type: ignore[arg-type]


def test_a_person_gives_no_sign() -> None:
    assert found() == []
    assert found(("website_confirm_url", ""), ("website_confirm_url", " ")) == []
    assert after(2.0) == after(60) == after(6 * 24 * 3600) == []


def test_a_honeypot_that_was_filled_in() -> None:
    assert found(("website_confirm_url", "03-1234-5678")) == ["honeypot"]


@pytest.mark.parametrize("seconds", [0, 1.9, -1, -59])
def test_faster_than_anybody_types(seconds: float) -> None:
    """A little before it was rendered is the clock of another process, not a forgery."""
    assert after(seconds) == ["too-fast"]


def test_a_source_may_not_care_how_fast() -> None:
    assert after(0, least=0.0) == []


@pytest.mark.parametrize("seconds", [7 * 24 * 3600 + 1, -61])
def test_a_token_from_another_time(seconds: float) -> None:
    assert after(seconds) == ["bad-token"]


def test_a_token_of_another_form_or_another_secret() -> None:
    earlier = NOW - timedelta(minutes=1)
    assert found(("_token", token(KEY, "fair", earlier, NONCE))) == ["bad-token"]
    assert found(("_token", token(token_key("another"), "contact", earlier, NONCE))) == ["bad-token"]


def test_a_token_that_was_tampered_with() -> None:
    good = token(KEY, "contact", NOW - timedelta(minutes=1), NONCE)
    raw = bytearray(base64.urlsafe_b64decode(good[3:] + "=" * (-len(good[3:]) % 4)))
    for index in range(len(raw)):
        raw[index] ^= 1
        bad = "v1." + base64.urlsafe_b64encode(raw).decode().rstrip("=")
        raw[index] ^= 1
        assert found(("_token", bad)) == ["bad-token"]


@pytest.mark.parametrize("text", ["x", "v1.", "v1.A", "v2.AAAA", "v1." + "A" * 10_000, "v1.😀", "v1.AAAA\n"])
def test_a_token_that_is_none(text: str) -> None:
    assert found(("_token", text)) == ["bad-token"]


def test_no_token_is_no_sign() -> None:
    """A page without JavaScript has none."""
    assert found(("_token", " ")) == []


def test_tokens_are_not_judged_without_a_secret() -> None:
    """They would be another process's, or those from before a restart."""
    assert found(("_token", "x"), key=None) == []


def test_signs_add_up() -> None:
    assert found(("website_confirm_url", "x"), ("_token", "x")) == ["honeypot", "bad-token"]


def test_renderings_at_the_same_time_have_different_tokens() -> None:
    assert token(KEY, "contact", NOW, b"1" * 8) != token(KEY, "contact", NOW, b"2" * 8)
