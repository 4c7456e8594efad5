"""Who may do what: by key, by kind of key, by page."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain
from typing import Final

from services.ingest.domain.keys import digest_of
from services.ingest.domain.receipt import Mode
from services.ingest.domain.source import ANY_ORIGIN, ORIGIN_CHARS_MAX, KeyKind, Source, normalise_origin

ORIGIN: Final = "origin"
UNKNOWN_KEY: Final = "unknown-key"

_BEARER: Final = "bearer"


class Use(Enum):
    """What a request is for."""

    EVENTS = auto()
    OUTCOMES = auto()
    FORM = auto()
    BEACON = auto()
    PIXEL = auto()


PUBLIC: Final = frozenset({Use.FORM, Use.BEACON, Use.PIXEL})
"""Open to everybody, everywhere: a form without JavaScript has no place for a key."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends this request, for what `use`.

    `key_kind` is None without a key. `origin` is the page it comes from, None when the request names none.
    `doubts` is what a form is taken with all the same, since a refused form is a lost lead: ORIGIN where the source
    names origins and this one is not among them, UNKNOWN_KEY for a key that is not known (any more, or yet).
    """

    source: Source
    use: Use
    mode: Mode
    key_kind: KeyKind | None
    origin: str | None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key as the gate knows it. It is refused from `until` on, on the clock of whoever made the book."""

    source: str
    kind: KeyKind
    digest: bytes
    until: float


@dataclass(frozen=True, slots=True)
class Book:
    """All sources and keys as of one moment."""

    sources: Mapping[str, Source]
    keys: Mapping[bytes, HeldKey]
    origins: frozenset[str]

    @classmethod
    def of(cls, sources: Iterable[Source], keys: Iterable[HeldKey]) -> Book:
        """The book of these. A key whose source is not among them is left out."""
        by_name = {source.name: source for source in sources}
        origins = chain.from_iterable(source.origins for source in by_name.values() if source.active)
        held = {key.digest: key for key in keys if key.source in by_name}
        return cls(by_name, held, frozenset(origins))

    def find(self, key: str, now: float) -> HeldKey | None:
        """The live key that `key` is, compared in constant time."""
        digest = digest_of(key)
        held = self.keys.get(digest)
        if held is None or not hmac.compare_digest(held.digest, digest) or now >= held.until:
            return None
        return held

    def takes_origin(self, origin: str) -> bool:
        """Whether any active source takes posts from pages of `origin`."""
        origins = self.origins
        return origin in origins or ANY_ORIGIN in origins or normalise_origin(origin) in origins


EMPTY: Final = Book({}, {}, frozenset())


def bearer(authorization: bytes) -> str | None:
    """The key in an `Authorization` header; "" when it is left out there, None when the header is for somebody else.

    Other schemes are a proxy's or a browser's business: a page behind a password sends `Basic` along with its form.
    """
    scheme, _, key = authorization.decode("latin-1").strip().partition(" ")
    return key.strip() if scheme.lower() == _BEARER else None


def page_of(origin: bytes | None) -> str | None:
    """The page's origin; None when the header is absent or `null`, as a sandboxed page or a redirect sends it.

    One that is longer than any origin is kept as what it is: a page that no source lists.
    """
    if origin is None or origin == b"null" or not origin:
        return None
    return origin[: ORIGIN_CHARS_MAX + 1].decode("latin-1")


def is_allowed(kind: KeyKind | None, use: Use, mode: Mode) -> bool:
    """Whether a sender with a key of `kind`, or without one (None) where keys are required, may do this.

    What is told after the fact, and what became of a lead, is believed from servers only: anybody can read a page.
    """
    if kind is KeyKind.SECRET:
        return True
    if mode == "history" or use is Use.OUTCOMES:
        return False
    return kind is KeyKind.WRITE or use in PUBLIC
