"""The text in the bytes of a form, whatever the page was written in.

Browsers encode a form in the charset of its page and rarely say which. What they say is believed as long as the bytes
agree; after that UTF-8, which hardly anything else looks like; after that what old Japanese pages use. Bytes that are
none of it are kept percent-encoded: a form is never lost for its encoding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from itertools import chain, islice, product
from typing import Any, Final
from urllib.parse import quote_from_bytes

UTF8: Final = "utf-8"
UNKNOWN: Final = "unknown"

_CP932: Final = "cp932"
_EUC_JP: Final = "euc-jp"
_ISO_2022_JP: Final = "iso-2022-jp"
_WINDOWS_1252: Final = "windows-1252"

_LABELS: Final = {
    UTF8: "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
    _CP932: "shift_jis shift-jis sjis x-sjis ms_kanji ms932 windows-31j csshiftjis cp932",
    _EUC_JP: "euc-jp x-euc-jp cseucpkdfmtjapanese",
    _ISO_2022_JP: "iso-2022-jp csiso2022jp",
    _WINDOWS_1252: "iso-8859-1 iso8859-1 iso88591 iso_8859-1 latin1 l1 us-ascii ascii windows-1252 cp1252 x-cp1252",
}
"""The labels of the WHATWG's encoding standard: browsers mean CP932 by Shift_JIS and windows-1252 by ISO-8859-1."""

_BY_LABEL: Final = {label: charset for charset, labels in _LABELS.items() for label in labels.split()}

_TOLD_MAX: Final = 3
"""Charsets that a request names and that are tried: the form's, a part's, the body's. Each try reads the whole form."""

_REFERENCE: Final = re.compile(r"&#([0-9]{2,7});")
_ESCAPE: Final = b"\x1b"
_NEVER_IN_EUC_JP: Final = re.compile(rb"[\x80-\x8d\x90-\xa0\xff]")
_HIRAGANA_OF_EUC_JP: Final = re.compile(rb"(?:^|[\x00-\x7f])(?:[\xa1-\xfe]{2})*?\xa4[\xa1-\xf3]")
_NO_TEXT_OF_CP932: Final = re.compile("[\x80\xa0\uf8f0-\uf8f3]")  # what Python reads from bytes the standard refuses
_PLAIN_ASCII: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


def charset_of(label: str) -> str | None:
    """The charset that browsers mean by `label`, or None when it is not one of ours."""
    return _BY_LABEL.get(label.strip().strip("\"'").lower())


def decoded(parts: Sequence[bytes], labels: Sequence[str]) -> tuple[list[str], str]:
    """The texts of all names and values of one form, and the charset they are in (UNKNOWN: in none that is known).

    `labels` are the charsets that the request itself names, the most trusted one first.
    """
    told = tuple(islice(dict.fromkeys(_known(labels)), _TOLD_MAX))
    guessed = (charset for charset in _guesses(b"\n".join(parts)) if charset not in told)
    for charset in chain(told, guessed):
        try:
            decode = _DECODERS[charset]
            texts = [decode(part) for part in parts]
        except ValueError:
            continue
        return [_resolved(text, charset) for text in texts], charset
    return [_kept(part) for part in parts], UNKNOWN


def storable(text: str) -> str:
    """`text` without what Postgres or UTF-8 cannot hold, each such character replaced by a visible one.

    Two halves of a surrogate pair become the character they mean.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def all_storable(value: Any, levels: int) -> Any:
    """A JSON value with all text in it made storable. Raises RecursionError where it has more than so many `levels`."""
    if isinstance(value, str):
        return storable(value)
    if not isinstance(value, dict | list):
        return value
    if levels == 0:
        raise RecursionError
    if isinstance(value, dict):
        return {storable(name): all_storable(item, levels - 1) for name, item in value.items()}
    return [all_storable(item, levels - 1) for item in value]


def _known(labels: Sequence[str]) -> Iterator[str]:
    for label in labels:
        charset = charset_of(label)
        if charset is not None:
            yield charset


def _guesses(whole: bytes) -> Iterator[str]:
    if _ESCAPE + b"$" in whole:
        yield _ISO_2022_JP
    yield UTF8
    if _may_be_euc_jp(whole):
        yield _EUC_JP
    yield _CP932


def _may_be_euc_jp(whole: bytes) -> bool:
    """Whether bytes that might be CP932 too are likelier EUC-JP: they hold hiragana only there.

    Read as CP932, EUC-JP is half-width katakana that nobody would write; real CP932 is seldom valid EUC-JP.
    """
    return _NEVER_IN_EUC_JP.search(whole) is None and _HIRAGANA_OF_EUC_JP.search(whole) is not None


def _resolved(text: str, charset: str) -> str:
    """`text` with the characters that browsers write as `&#128512;` because `charset` lacks them."""
    if charset == UTF8 or "&#" not in text:
        return text
    codec = _WINDOWS_1252 if charset == _WINDOWS_1252 else _CP932

    def character(found: re.Match[str]) -> str:
        code = int(found[1])
        if code > 0x10FFFF:
            return found[0]
        try:
            chr(code).encode(codec)
        except UnicodeEncodeError:
            return chr(code)
        return found[0]  # the charset has it: a person typed these very signs

    return _REFERENCE.sub(character, text)


def _kept(part: bytes) -> str:
    """`part` as text from which the bytes can be had again: as UTF-8 where it is, else percent-encoded."""
    try:
        return part.decode()
    except UnicodeDecodeError:
        return quote_from_bytes(part, safe=_PLAIN_ASCII)


def _from_utf8(raw: bytes) -> str:
    return raw.decode()


def _from_cp932(raw: bytes) -> str:
    text = raw.decode("cp932")
    if _NO_TEXT_OF_CP932.search(text):
        raise ValueError("not Shift_JIS as browsers write it")
    return text


def _from_windows_1252(raw: bytes) -> str:
    return raw.decode("windows-1252")


def _from_euc_jp(raw: bytes) -> str:
    """EUC-JP as browsers mean it. Python's codec lacks NEC's and IBM's characters, such as the ㈱ of company names."""
    found: list[str] = []
    at = 0
    for run in _EUC_JP_RUN.finditer(raw):
        if run.start() != at:
            break
        ascii_run, jis, half_width, jis_x_0212 = run.groups()
        if ascii_run is not None:
            found.append(ascii_run.decode("ascii"))
        elif jis is not None:
            found += _of_jis(jis.translate(_WITHOUT_HIGH_BIT))
        elif half_width is not None:
            found.append(half_width[1::2].decode("cp932"))
        else:
            found.append(jis_x_0212.decode("euc_jp"))
        at = run.end()
    if at != len(raw):
        raise ValueError("not EUC-JP")
    return "".join(found)


def _from_iso_2022_jp(raw: bytes) -> str:
    start = raw.partition(_ESCAPE)[0]
    found = [start.decode("ascii")]
    at = len(start)
    for run in _ISO_2022_JP_RUN.finditer(raw, at):
        if run.start() != at:
            break
        escape, content = run.groups()
        if escape.startswith(b"$"):
            found += _of_jis(content)
        elif escape == b"(I":
            found.append(content.translate(_WITH_HIGH_BIT).decode("cp932"))
        else:
            found.append(content.decode("ascii"))
        at = run.end()
    if at != len(raw):
        raise ValueError("not ISO-2022-JP")
    return "".join(found)


_EUC_JP_RUN: Final = re.compile(rb"([\x00-\x7f]+)|((?:[\xa1-\xfe]{2})+)|((?:\x8e[\xa1-\xdf])+)|(\x8f[\xa1-\xfe]{2})")
_ISO_2022_JP_RUN: Final = re.compile(rb"\x1b(\([BJI]|\$[@B])([^\x1b]*)")
_WITHOUT_HIGH_BIT: Final = bytes(code & 0x7F for code in range(256))
_WITH_HIGH_BIT: Final = bytes(code | 0x80 for code in range(256))


def _of_jis(pairs: bytes) -> list[str]:
    """The characters at places of JIS X 0208, two bytes of 0x21 to 0x7E each. Raises ValueError for no such place."""
    if len(pairs) % 2:
        raise ValueError("half a character")
    table = _jis_table()
    try:
        return [table[place] for place in zip(pairs[::2], pairs[1::2], strict=True)]
    except KeyError:
        raise ValueError("outside of JIS X 0208") from None


@cache
def _jis_table() -> dict[tuple[int, int], str]:
    """JIS X 0208 with what NEC and IBM added to it, by way of CP932, which holds the same rows in another order."""
    table: dict[tuple[int, int], str] = {}
    for row, cell in product(range(0x21, 0x7F), repeat=2):
        lead = (row - 0x21) // 2 + (0x81 if row < 0x5F else 0xC1)
        trail = cell + (0x7E if row % 2 == 0 else 0x1F if cell < 0x60 else 0x20)
        with suppress(UnicodeDecodeError):
            table[row, cell] = bytes((lead, trail)).decode("cp932")
    return table


_DECODERS: Final[dict[str, Callable[[bytes], str]]] = {
    UTF8: _from_utf8,
    _CP932: _from_cp932,
    _EUC_JP: _from_euc_jp,
    _ISO_2022_JP: _from_iso_2022_jp,
    _WINDOWS_1252: _from_windows_1252,
}
