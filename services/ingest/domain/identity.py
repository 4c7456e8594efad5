"""Who an event is about: what an identifier must look like here, and the record key made of the strongest one.

Only shape is checked, and only as far as somebody must be found in it. Normalising an e-mail address or a phone number
costs 130 us and belongs to scoring.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

from services.ingest.domain import limits
from services.ingest.domain.fields import Fault, mapping, pattern, record, text

KEY_BYTES: Final = 8
"""Enough to keep one person's records together: among a hundred million people hardly two share a key, and it would
do no harm. Short, because the partition is computed from it bit by bit."""

_FULL_WIDTH_AT: Final = "＠"  # a Japanese keyboard types it; scoring folds it


_system = pattern(
    r"[A-Za-z0-9_.-]+", 64, "has a name that must be 1 to 64 letters, digits, dots, dashes or underscores"
)
_identifier = text(limits.IDENTIFIER_CHARS_MAX)

read_identity = record(
    {
        "email": text(limits.EMAIL_CHARS_MAX),
        "phone": text(limits.PHONE_CHARS_MAX),
        "visitor_id": _identifier,
        "external_ids": mapping(_system, _identifier, limits.EXTERNAL_IDS_MAX),
    },
    "Identity",
)


def strongest(identity: Mapping[str, Any]) -> str | None:
    """The identifier that says most about who it is, folded cheaply; None when nothing given could be one."""
    return strongest_of(
        identity.get("email", ""),
        identity.get("phone", ""),
        identity.get("external_ids"),
        identity.get("visitor_id", ""),
    )


def strongest_of(email: str, phone: str, external_ids: Mapping[str, str] | None, visitor_id: str) -> str | None:
    """The same of the four identifiers, "" or None for those that were not given."""
    if email:
        email = email.strip().lower()
        inside = email[1:-1]  # there must be something on both sides of the @
        if "@" in inside or _FULL_WIDTH_AT in inside:
            return f"email {email}"
    if phone and _may_be_phone(phone):
        return f"phone {phone.strip().lower()}"
    if external_ids:
        system = min(external_ids)
        return f"external {system}:{external_ids[system].strip().lower()}"
    if visitor_id:
        return f"visitor {visitor_id.strip().lower()}"
    return None


def identity_faults(identity: Mapping[str, Any]) -> Iterator[Fault]:
    """Why nobody can be told from `identity`; nothing when somebody can.

    People type "none" into a required phone field. As long as anything else says who they are, the lead is taken and
    the text is kept; scoring makes no identifier of it.
    """
    if strongest(identity) is not None:
        return
    if "email" in identity:
        yield Fault("/identity/email", "must be an e-mail address")
    if "phone" in identity:
        yield Fault("/identity/phone", "must be a phone number")
    if "email" not in identity and "phone" not in identity:
        yield Fault("/identity", "must hold at least one of email, phone, visitor_id and external_ids")


def _may_be_phone(text: str) -> bool:
    """Whether there is a digit, of any script."""
    return any(character.isdigit() for character in text)


def record_key(identifier: str, secret: bytes) -> bytes:
    """The key of a record about `identifier`: the same for the same person, telling nothing without `secret`.

    Keyed BLAKE2b, in hex. A plain hash would not do: addresses can be guessed and hashed by anyone.
    """
    digest = _keyed(secret).copy()
    digest.update(identifier.encode())
    return hexlify(digest.digest())


@lru_cache(maxsize=4)
def _keyed(secret: bytes) -> blake2b:
    return blake2b(digest_size=KEY_BYTES, key=secret)
