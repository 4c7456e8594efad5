"""Who an event is about: what an identifier must look like here, and the record key made of the strongest one.

Only shape is checked, and only as far as somebody must be found in it. Normalising an e-mail address or a phone number
costs 130 us and belongs to scoring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

from services.ingest.domain import limits
from services.ingest.domain.fields import Fault, mapping, pattern, record, text

_KEY_BYTES: Final = 16
_AT_SIGNS: Final = ("@", "＠")  # a Japanese keyboard types the second; scoring folds it


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
    }
)


def strongest(identity: Mapping[str, Any]) -> str | None:
    """The identifier that says most about who it is, folded cheaply; None when nothing given could be one."""
    email, phone = identity.get("email", ""), identity.get("phone", "")
    if _may_be_email(email):
        return f"email {email.strip().lower()}"
    if _may_be_phone(phone):
        return f"phone {phone.strip().lower()}"
    external = identity.get("external_ids")
    if external:
        system = min(external)
        return f"external {system}:{external[system].strip().lower()}"
    if "visitor_id" in identity:
        return f"visitor {identity['visitor_id'].strip().lower()}"
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


def _may_be_email(text: str) -> bool:
    """Whether there is something on both sides of an @."""
    return any(sign in text.strip()[1:-1] for sign in _AT_SIGNS)


def _may_be_phone(text: str) -> bool:
    """Whether there is a digit, of any script."""
    return any(character.isdigit() for character in text)


def record_key(identifier: str, secret: bytes) -> bytes:
    """The key of a record about `identifier`: the same for the same person, telling nothing without `secret`.

    Keyed BLAKE2b, in hex. A plain hash would not do: addresses can be guessed and hashed by anyone.
    """
    return blake2b(identifier.encode(), digest_size=_KEY_BYTES, key=secret).hexdigest().encode()
