"""The two small pages that a person without JavaScript may see: thank you, and what to correct.

No script, nothing from elsewhere, and nothing of what was typed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape
from typing import Final, NamedTuple

_STYLE: Final = (
    "body{font:1rem/1.7 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1.5rem;"
    "color:#1f2328;background:#fff}h1{font-size:1.5rem}@media(prefers-color-scheme:dark)"
    "{body{color:#e6edf3;background:#0d1117}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Final = {
    b"content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'".encode()
    ),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
}
MEDIA_TYPE: Final = b"text/html; charset=utf-8"

_LANGUAGE: Final = re.compile(r"([A-Za-z]{1,8})(?:-[A-Za-z0-9-]+)?(?:;q=([01](?:\.[0-9]{0,3})?))?")
_HEADER_CHARS_MAX: Final = 200  # browsers send a few languages, never dozens
_LANGUAGES: Final = ("en", "ja")


class _Words(NamedTuple):
    en: str
    ja: str


_THANKS: Final = _Words("Thank you", "ありがとうございました")
_RECEIVED: Final = _Words("We have received what you sent.", "送信内容を受け付けました。")
_NOT_SENT: Final = _Words("This was not sent", "送信できませんでした")
_GO_BACK: Final = _Words(
    "Please go back with your browser's back button and try again.",
    "ブラウザーの「戻る」ボタンで前のページに戻り、もう一度お試しください。",
)
_TRY_LATER: Final = _Words(
    "We cannot take it just now. Please go back and send it again in a minute.",
    "ただいま受け付けできません。前のページに戻り、しばらくしてからもう一度送信してください。",
)
_NOT_SET_UP: Final = _Words(
    "This form is not set up correctly. Please tell the owner of the site.",
    "このフォームの設定に誤りがあります。お手数ですが、サイトの管理者にお知らせください。",
)
_BY_FIELD: Final = {
    "/email": _Words("Please enter a valid e-mail address.", "正しいメールアドレスを入力してください。"),
    "/phone": _Words("Please enter a valid phone number.", "正しい電話番号を入力してください。"),
}
_NO_CONTACT: Final = _Words(
    "Please enter your e-mail address or your phone number.",
    "メールアドレスまたは電話番号を入力してください。",
)
_BY_SLUG: Final = {
    "too-large": _Words(
        "It is too long, or an attached file is too large. Please shorten it.",
        "入力内容が長すぎるか、添付ファイルが大きすぎます。短くしてから送信してください。",
    ),
    "rate-limited": _TRY_LATER,
    "not-stored": _TRY_LATER,
    "keys-not-loaded": _TRY_LATER,
    "slow-body": _TRY_LATER,
    "internal-error": _TRY_LATER,
    "idempotency-in-progress": _TRY_LATER,
}


def language_of(accept_language: str) -> str:
    """The language to speak to somebody whose browser sends this `Accept-Language`: `ja` or `en`."""
    wanted: dict[str, float] = {}
    for one in "".join(accept_language[:_HEADER_CHARS_MAX].split()).split(","):
        found = _LANGUAGE.fullmatch(one)
        if found is not None:
            wanted.setdefault(found[1].lower(), float(found[2]) if found[2] else 1.0)
    return max(_LANGUAGES, key=lambda language: wanted.get(language, 0.0))


def thanks(language: str) -> bytes:
    """The page of a form that was taken."""
    return _page(language, _THANKS, [_RECEIVED])


def thanks_in_a_line(language: str) -> str:
    """The same in a sentence, for a page of the site's own."""
    return _RECEIVED.ja if language == "ja" else _RECEIVED.en


def refusal(language: str, slug: str, pointers: Iterable[str]) -> bytes:
    """The page of a form that was not taken: problem `slug`, about the fields at `pointers`."""
    fields = [_BY_FIELD[pointer] for pointer in pointers if pointer in _BY_FIELD]
    if len(fields) == len(_BY_FIELD):
        return _page(language, _NOT_SENT, [_NO_CONTACT, _GO_BACK])
    if fields:
        return _page(language, _NOT_SENT, [*fields, _GO_BACK])
    words = _BY_SLUG.get(slug, _NOT_SET_UP)
    return _page(language, _NOT_SENT, [words] if words is not _BY_SLUG["too-large"] else [words, _GO_BACK])


def _page(language: str, title: _Words, sentences: Iterable[_Words]) -> bytes:
    def say(words: _Words) -> str:
        return escape(words.ja if language == "ja" else words.en)

    text = "".join(f"<p>{say(sentence)}</p>" for sentence in sentences)
    return (
        f'<!DOCTYPE html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{say(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{say(title)}</h1>{text}</body></html>"
    ).encode()
