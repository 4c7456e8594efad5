"""The two small pages, in the visitor's language."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from services.ingest.domain.forms import pages


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ja,en-US;q=0.9,en;q=0.8", "ja"),
        ("en-US,en;q=0.9,ja;q=0.8", "en"),
        ("ja-JP", "ja"),
        ("de,ja;q=0.5,en;q=0.4", "ja"),
        ("en;q=0.1, ja;q=0.9", "ja"),
        ("fr", "en"),
        ("", "en"),
        ("ja;q=0", "en"),
        (";;;q=,=\x00", "en"),
        ("a" * 100_000, "en"),
    ],
)
def test_the_language_that_the_browser_asks_for(header: str, language: str) -> None:
    assert pages.language_of(header) == language


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_page_needs_nothing_from_elsewhere(language: str) -> None:
    for page in (pages.thanks(language), pages.refusal(language, "too-large", [])):
        html = page.decode()
        assert f'<html lang="{language}">' in html
        assert not re.search(r"<script|<link|<img|src=|href=|url\(|https?:", html)


def test_the_policy_allows_the_pages_own_style_and_nothing_else() -> None:
    style = re.search(rb"<style>(.*)</style>", pages.thanks("en"))
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1]).digest()).decode()
    policy = pages.HEADERS[b"content-security-policy"].decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    ("slug", "pointers", "words"),
    [
        ("invalid-event", ["/email", "/phone"], "メールアドレスまたは電話番号を入力してください"),
        ("invalid-event", ["/email"], "正しいメールアドレスを入力してください"),
        ("invalid-event", ["/phone"], "正しい電話番号を入力してください"),
        ("too-large", [], "短くして"),
        ("not-stored", [], "しばらくしてから"),
        ("rate-limited", [], "しばらくしてから"),
        ("unknown-key", [], "サイトの管理者"),
        ("<script>", ["<script>"], "サイトの管理者"),
    ],
)
def test_a_refusal_says_what_to_do(slug: str, pointers: list[str], words: str) -> None:
    page = pages.refusal("ja", slug, pointers).decode()
    assert words in page
    assert "script" not in page


def test_of_the_wanted_languages_no_more_is_read_than_browsers_send() -> None:
    assert pages.language_of("fr," * 50 + "ja") == "ja"
    assert pages.language_of("fr," * 70 + "ja") == "en"
    assert pages.language_of(" " * 200 + "ja") == "en"


@pytest.mark.parametrize("header", ["en" + " " * 30_000 + "x", ", ;\tq = 0.5" * 3000, "ja ; q = 0.5, en ; q = 0.4"])
def test_blanks_are_gone_before_a_language_is_looked_for(header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that may skip blanks in two places tries every way to share them."""
    read: list[str] = []
    language = pages._LANGUAGE

    class Recorded:
        def fullmatch(self, text: str) -> re.Match[str] | None:
            read.append(text)
            return language.fullmatch(text)

    monkeypatch.setattr(pages, "_LANGUAGE", Recorded())
    pages.language_of(header)
    assert sum(map(len, read)) <= 200
    assert not any(re.search(r"\s", text) for text in read)
