"""What a field of a form means, by its name.

A name that says nothing means nothing: its field is kept as it was typed, and a source can say what it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from services.ingest.domain.forms import bounds
from services.ingest.domain.forms.aliases import (
    AGREEMENT,
    AGREEMENT_WORDS,
    ALIASES,
    NEVER_STORED,
    NEWSLETTER,
    OF_THE_PAGE,
)

_SEPARATORS: Final = re.compile(r"[\W_]+")
_MARKS: Final = re.compile("必須|任意|半角|全角|英数字|英数|required|optional")
_POLITENESS: Final = re.compile("[オゴ御様]|^your")
_KATAKANA: Final = {code: code + 0x60 for code in range(0x3041, 0x3097)}
_BRACKETED: Final = re.compile(r"\[([^\[\]]+)\](?:\[\d*\])?$")
_OF_THE_CONTACT: Final = re.compile("^0-1/")
_SUBSCRIPTION: Final = "legalconsentsubscriptiontype"
_NUMBERED: Final = re.compile(r"(.+?)([1-4])")

_AGREEMENT: Final = re.compile(AGREEMENT_WORDS)
_SECRET: Final = re.compile(NEVER_STORED)
_TOKEN: Final = re.compile(OF_THE_PAGE)

_RANK_OF_A_NUMBERED_NAME: Final = 100
_RANK_OF_WORDS: Final = 200


class Meaning(NamedTuple):
    """What a name means. Of several fields with one meaning that of the lowest `rank` counts."""

    target: str
    rank: int


def folded(name: str) -> str:
    """`name` as names are compared: no longer than a name may be, although one character can stand for eighteen."""
    wide = unicodedata.normalize("NFKC", name)[: bounds.NAME_CHARS_MAX]
    return _SEPARATORS.sub("", wide.casefold()).translate(_KATAKANA)


_folded_name: Final = lru_cache(maxsize=4096)(folded)
"""Each name is looked at for several things."""


@lru_cache(maxsize=4096)  # a site's forms have the same fields each time
def meaning(name: str) -> Meaning | None:
    """What a field called `name` means; None when the name says nothing."""
    for fold, less in _variants(name):
        if (found := _TABLE.get(_plain(fold))) is not None:
            return Meaning(found.target, found.rank + less)
    fold = _folded_name(name)
    if fold.startswith(_SUBSCRIPTION):
        return Meaning(NEWSLETTER, _RANK_OF_WORDS)
    return Meaning(AGREEMENT, _RANK_OF_WORDS) if _AGREEMENT.search(fold) else None


@lru_cache(maxsize=4096)
def numbered(name: str) -> tuple[str, int] | None:
    """(`identity.phone`, 2) for `tel2`: one of the boxes that a page spreads a number over."""
    found = _NUMBERED.fullmatch(_folded_name(name))
    known = None if found is None else _TABLE.get(_plain(found[1]))
    return (known.target, int(found[2])) if found is not None and known is not None else None


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether such a field holds what must never be stored: a password, a card, a number of the state's."""
    return _SECRET.search(_folded_name(name)) is not None


@lru_cache(maxsize=4096)
def is_token(name: str) -> bool:
    """Whether such a field is one that a framework or a captcha put there for itself."""
    return _TOKEN.search(_folded_name(name)) is not None


def _variants(name: str) -> Iterator[tuple[str, int]]:
    """Ways to look `name` up, the most literal one first, each with what it costs in rank."""
    plain = _OF_THE_CONTACT.sub("", name)
    fold = _folded_name(plain)
    yield fold, 0
    yield fold.rstrip("0123456789"), _RANK_OF_A_NUMBERED_NAME  # email-590, as Contact Form 7 names fields
    if bracketed := _BRACKETED.search(plain):
        yield _folded_name(bracketed[1]), 0  # form_fields[email]


def _plain(fold: str) -> str:
    return _POLITENESS.sub("", _MARKS.sub("", fold))


def _table() -> dict[str, Meaning]:
    table: dict[str, Meaning] = {}
    for target, names in ALIASES.items():
        for rank, name in enumerate(names.split(",")):
            table.setdefault(_plain(folded(name)), Meaning(target, rank))
    return table


_TABLE: Final = _table()
