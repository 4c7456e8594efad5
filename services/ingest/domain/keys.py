"""Keys of sources: what they look like, and what is kept of one.

A key is random (24 or 32 bytes), so a plain SHA-256 of it cannot be guessed back; a slow hash would only cost time.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from services.ingest.domain.source import KeyKind

LIVE_MAX: Final = 2
"""Keys of one kind that a source can have at once: the new one, and the old one until everybody has changed."""

_PREFIXES: Final = {KeyKind.WRITE: "fwk_", KeyKind.SECRET: "fsk_"}
_RANDOM_BYTES: Final = {KeyKind.WRITE: 24, KeyKind.SECRET: 32}
_HINT_CHARS: Final = 8


def random_bytes_of(kind: KeyKind) -> int:
    """How many random bytes a key of `kind` is made of."""
    return _RANDOM_BYTES[kind]


def make_key(kind: KeyKind, random: bytes) -> str:
    """The key made of `random`: a prefix that tells its kind, and 32 or 43 URL-safe characters.

    Raises ValueError when `random` is not as long as `random_bytes_of` says.
    """
    if len(random) != _RANDOM_BYTES[kind]:
        raise ValueError(f"a {kind} key is made of {_RANDOM_BYTES[kind]} bytes, not {len(random)}")
    return _PREFIXES[kind] + base64.urlsafe_b64encode(random).decode("ascii").rstrip("=")


def digest_of(key: str) -> bytes:
    """What is kept of `key`, and what a presented key is found by."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def hint_of(key: str) -> str:
    """The start of `key`, by which a person recognises it; far too little to find the rest."""
    return key[:_HINT_CHARS]


def looks_like_key(text: str) -> bool:
    """Whether `text` starts as our keys do, and is not somebody else's token."""
    return text.startswith(tuple(_PREFIXES.values()))


def looks_secret(key: str) -> bool:
    """Whether `key` is, or was meant to be, a secret key."""
    return key.startswith(_PREFIXES[KeyKind.SECRET])
