"""Identifiers as the funnel compares them: two ways of writing one address or number become one text.

Everything is brought to NFKC first, so that full-width input from Japanese keyboards equals half-width. E-mail
addresses are checked by email-validator and lower-cased, phone numbers are read by phonenumbers and written as E.164.
What does not validate is kept in lower-cased NFKC form rather than lost, but marked as untrusted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import phonenumbers
from email_validator import EmailNotValidError, validate_email

Kind = Literal["email", "phone", "external", "visitor"]

DEFAULT_REGION = "JP"
"""Region of a phone number written without a country code."""

CACHE_ENTRIES = 65_536
"""Normalised texts remembered per kind: reading one e-mail and one phone number costs as much as the rest of scoring
an event, and a person is seen several times within minutes."""


class Identifier(NamedTuple):
    """One normalised identifier; of kind external the value is `system:id`."""

    kind: Kind
    value: str


class Normalised(NamedTuple):
    """A text in comparable form. `trusted` is False for what is no address or number: people who cannot be told apart
    by anything else may share it, such as `-` or `0000000000`."""

    value: str
    trusted: bool


@lru_cache(maxsize=CACHE_ENTRIES)
def email(raw: str) -> Normalised:
    """The address in lower case, its domain in Unicode form.

    Trusted as soon as it has the shape of an address: some carriers gave out addresses that no standard allows.
    """
    text = _plain(raw)
    lower = text.lower()
    local, _, domain = lower.rpartition("@")
    trusted = bool(local) and "." in domain.strip(".")
    if lower.isascii() and "xn--" not in domain:
        return Normalised(lower, trusted)  # what the validator would make of it too, at a twentieth of the time
    try:
        return Normalised(validate_email(text, check_deliverability=False).normalized.lower(), True)
    except EmailNotValidError:
        return Normalised(lower, trusted)


@lru_cache(maxsize=CACHE_ENTRIES)
def phone(raw: str) -> Normalised:
    """The number as E.164 where its length is possible; trusted where its range is in use.

    Extensions are dropped: E.164 has none.
    """
    text = _plain(raw)
    try:
        number = phonenumbers.parse(text, DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        return Normalised(text.lower(), False)
    if not phonenumbers.is_possible_number(number):
        return Normalised(text.lower(), False)
    written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return Normalised(written, phonenumbers.is_valid_number(number))


def external(system: str, value: str) -> str:
    """`system:id`; systems are compared without case, ids as they are."""
    return f"{_plain(system).lower()}:{_plain(value)}"


def visitor(raw: str) -> str:
    """A cookie or device id: compared as it is."""
    return raw.strip()


def identifiers(
    email_text: str | None,
    phone_text: str | None,
    external_ids: Mapping[str, str] | None,
    visitor_id: str | None,
) -> tuple[Identifier, ...]:
    """The identifiers of an event, strongest first: e-mail, phone, external ids (by system), visitor.

    An untrusted e-mail or phone counts only where nothing else but a visitor id is given.
    """
    found: list[Identifier] = []
    untrusted: list[Identifier] = []
    if email_text and (value := email(email_text)).value:
        (found if value.trusted else untrusted).append(Identifier("email", value.value))
    if phone_text and (value := phone(phone_text)).value:
        (found if value.trusted else untrusted).append(Identifier("phone", value.value))
    if external_ids:
        found += sorted(Identifier("external", external(*pair)) for pair in external_ids.items() if pair[1].strip())
    found = found or untrusted
    if visitor_id and (cookie := visitor(visitor_id)):
        found.append(Identifier("visitor", cookie))
    return tuple(found)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()
