"""The text in a form, whatever its page was written in: pages of every age post to us, and few say how."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.ingest.domain.forms import charsets
from services.ingest.domain.forms.charsets import all_storable, decoded, storable
from tests.unit.ingest.forms.given import as_browser_writes

JAPANESE = ["お名前", "山田 太郎", "ｶﾌﾞｼｷｶﾞｲｼｬ", "表示ソフト能力開発", "髙橋﨑", "①㈱～－"]


@pytest.mark.parametrize("charset", ["cp932", "utf-8"])
def test_what_nobody_declares_is_recognised(charset: str) -> None:
    assert decoded([text.encode(charset) for text in JAPANESE], []) == (JAPANESE, charset)


@pytest.mark.parametrize("charset", ["euc_jp", "iso2022_jp", "cp932"])
def test_old_japanese_pages_are_recognised_by_their_hiragana(charset: str) -> None:
    texts = ["お名前", "山田 太郎", "資料をおくってください"]
    assert decoded([text.encode(charset) for text in texts], [])[0] == texts


@pytest.mark.parametrize(
    ("label", "charset"),
    [
        ("Shift_JIS", "cp932"),
        ("SJIS", "cp932"),
        ("x-sjis", "cp932"),
        ("windows-31j", "cp932"),
        ("CP932", "cp932"),
        ('"shift_jis"', "cp932"),
        (" UTF-8 ", "utf-8"),
        ("utf8", "utf-8"),
    ],
)
def test_a_label_means_what_browsers_mean_by_it(label: str, charset: str) -> None:
    assert decoded([text.encode(charset) for text in JAPANESE], [label]) == (JAPANESE, charset)


def test_iso_8859_1_means_windows_1252() -> None:
    assert decoded(["José — €".encode("cp1252")], ["ISO-8859-1"]) == (["José — €"], "windows-1252")


@pytest.mark.parametrize("label", ["euc-jp", "x-euc-jp", "EUC-JP"])
def test_euc_jp_has_the_characters_of_company_names_that_python_lacks(label: str) -> None:
    assert decoded([b"\xad\xea\xbb\xb3\xc5\xc4", b"\xad\xa1 \x8e\xb6\x8e\xc5"], [label])[0] == ["㈱山田", "① ｶﾅ"]


def test_iso_2022_jp_has_half_width_kana() -> None:
    assert decoded(["山田".encode("iso2022_jp") + b"\x1b(I6E\x1b(B!"], ["ISO-2022-JP"])[0] == ["山田ｶﾅ!"]


def test_a_label_that_the_bytes_contradict_is_not_believed() -> None:
    """A server in between may label everything UTF-8."""
    assert decoded(["山田".encode("cp932")], ["utf-8"]) == (["山田"], "cp932")
    assert decoded(["山田".encode()], ["iso-2022-jp"]) == (["山田"], "utf-8")


def test_a_label_of_no_charset_changes_nothing() -> None:
    assert decoded(["山田".encode()], ["", "klingon", "rot13", "unicode_escape"]) == (["山田"], "utf-8")


def test_one_charset_holds_for_the_whole_form() -> None:
    """Read alone, the name could be Latin text in CP932's half-width kana; the message settles it."""
    name, message = "ﾔﾏﾀﾞ".encode("cp932"), "よろしくお願いします".encode("cp932")
    assert decoded([name, message], [])[0] == ["ﾔﾏﾀﾞ", "よろしくお願いします"]


def test_half_width_kana_alone_is_not_taken_for_euc_jp() -> None:
    assert decoded(["ﾔﾏﾀﾞ ﾀﾛｳ".encode("cp932"), b"taro@example.com"], []) == (
        ["ﾔﾏﾀﾞ ﾀﾛｳ", "taro@example.com"],
        "cp932",
    )


def test_bytes_of_no_charset_are_kept_and_spoil_nothing() -> None:
    texts, charset = decoded([b"taro@example.com", "山".encode(), b"100%\xff\xfe"], [])
    assert texts == ["taro@example.com", "山", "100%25%FF%FE"]
    assert charset == "unknown"


@pytest.mark.parametrize("charset", ["cp932", "euc_jp"])
def test_emoji_that_the_page_could_not_write_come_back(charset: str) -> None:
    raw = as_browser_writes("よろしく😀한", charset)
    assert b"&#128512;" in raw
    assert decoded([raw], [charset.replace("_", "-")])[0] == ["よろしく😀한"]


def test_what_a_person_typed_as_a_reference_stays_as_typed() -> None:
    assert decoded(["あ&#65;&#12354;&#9999999;".encode("cp932")], ["shift_jis"])[0] == ["あ&#65;&#12354;&#9999999;"]
    assert decoded([b"&#128512;"], ["utf-8"])[0] == ["&#128512;"]


def test_text_that_cannot_be_stored_is_made_storable() -> None:
    assert storable("a\0b") == "a␀b"
    assert storable("\ud83d\ude00") == "😀"
    assert storable("\ud83d!") == "\N{REPLACEMENT CHARACTER}!"


class Counted:
    """A decoder that knows how often it was asked."""

    def __init__(self, decode: Callable[[bytes], str]) -> None:
        self.decode = decode
        self.calls = 0

    def __call__(self, raw: bytes) -> str:
        self.calls += 1
        return self.decode(raw)


@pytest.mark.parametrize(
    "labels",
    [
        ["euc-jp"] * 850,
        ["euc-jp", "EUC-JP ", "x-euc-jp"] * 280,
        ["utf-8", "sjis", "euc-jp", "iso-2022-jp", "latin1"] * 170,
        ["iso-2022-jp", "utf8", "cp932", "ms932"] * 200,
    ],
)
def test_however_many_labels_there_are_no_charset_is_tried_twice(
    labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {charset: Counted(decode) for charset, decode in charsets._DECODERS.items()}
    monkeypatch.setattr(charsets, "_DECODERS", counted)
    decoded([b"\x82\xa0\xff\xfd"], labels)
    assert max(one.calls for one in counted.values()) == 1


def test_at_most_three_charsets_that_a_request_names_are_tried() -> None:
    raw = b"caf\xe9"
    assert decoded([raw], ["utf-8", "euc-jp", "latin1"]) == (["café"], "windows-1252")
    assert decoded([raw], ["utf-8", "euc-jp", "iso-2022-jp", "latin1"]) == (["caf%E9"], "unknown")
    assert decoded([raw], ["utf-8"] * 9 + ["klingon"] * 9 + ["latin1"]) == (["café"], "windows-1252")


def test_all_text_in_a_value_is_made_storable() -> None:
    value = {"a\0": ["\ud83d", {"b": "\0"}], "n": 1, "t": True, "none": None}
    assert all_storable(value, 3) == {"a␀": ["\ufffd", {"b": "␀"}], "n": 1, "t": True, "none": None}
    with pytest.raises(RecursionError):
        all_storable(value, 2)
