"""Sources, keys and a gate for tests that need no database."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from services.ingest.domain.access import Book, Caller, HeldKey, Use
from services.ingest.domain.keys import digest_of, make_key, random_bytes_of
from services.ingest.domain.receipt import NO_PARAMETERS, Parameters
from services.ingest.domain.source import KeyKind, Source
from services.ingest.gate import Gate


def a_key(kind: KeyKind, seed: int = 0) -> str:
    """A key that is the same in every run."""
    return make_key(kind, bytes([seed]) * random_bytes_of(kind))


WRITE_KEY: Final = a_key(KeyKind.WRITE)
SECRET_KEY: Final = a_key(KeyKind.SECRET)
PAGE: Final = "https://www.example.com"
SHOP: Final = Source("shop", origins=(PAGE,))


def held(key: str, source: str, until: float = math.inf) -> HeldKey:
    kind = KeyKind.SECRET if key.startswith("fsk_") else KeyKind.WRITE
    return HeldKey(source, kind, digest_of(key), until)


def book(*sources: Source, keys: Sequence[HeldKey] | None = None) -> Book:
    """These sources; the first has WRITE_KEY and SECRET_KEY unless `keys` are given."""
    first = sources[0].name
    return Book.of(sources, [held(WRITE_KEY, first), held(SECRET_KEY, first)] if keys is None else keys)


@dataclass
class FixedBooks:
    """What the gate reads, as the test says."""

    book: Book = field(default_factory=lambda: book(SHOP))
    loaded: bool = True


@dataclass
class Watch:
    """A clock that the test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Door:
    """A gate, and a short way to ask it."""

    books: FixedBooks = field(default_factory=FixedBooks)
    keys_required: bool = True
    watch: Watch = field(default_factory=Watch)

    def __post_init__(self) -> None:
        self.gate = Gate(self.books, keys_required=self.keys_required, monotonic=self.watch)

    def admit(
        self,
        use: Use = Use.EVENTS,
        parameters: Parameters = NO_PARAMETERS,
        *,
        key: str | None = None,
        origin: str | None = None,
    ) -> Caller:
        authorization = None if key is None else f"Bearer {key}".encode()
        return self.gate.admit(use, parameters, authorization, None if origin is None else origin.encode())
