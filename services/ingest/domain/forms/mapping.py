"""From the fields of a form to who the person is: identity, person, consent.

Nothing is normalised, split or joined by guess: one field for the name stays one name. What a field means says the
source's own table first, then its name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.ingest.domain import limits
from services.ingest.domain.forms.aliases import (
    EMAIL,
    EMPLOYEES,
    FIRST_KANA,
    LAST_KANA,
    MESSAGE,
    NAME_KANA,
    PHONE,
    POSTAL_CODE,
)
from services.ingest.domain.forms.names import Meaning, meaning, numbered
from services.ingest.domain.forms.submission import Field

_OWN: Final = -1
"""The rank of what the source itself says of a field."""

_EMAIL: Final = re.compile(r"[^\s@＠,;<>]+[@＠][^\s@＠,;<>][^\s@＠,;<>.．。]*[.．。][^\s@＠,;<>]+")
"""Linear: each part ends where the next one begins, so no text is read twice."""

_CANDIDATES_MAX: Final = 10
"""Texts looked at to find the one that is an address or a number. No page asks for it more often."""

_ONE_NUMBER: Final = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+) ?(?:名|人|employees|people)?")
_NUMBER_CHARS_MAX: Final = 30
_BOX_CHARS_MAX: Final = 5
_BOX: Final = re.compile(rf"[0-9]{{1,{_BOX_CHARS_MAX}}}")
_BOXES_TO_JOIN: Final = {PHONE: (2, 4), POSTAL_CODE: (2, 2)}
"""What pages spread over several boxes, with the least and the most of them."""

_EXTERNAL: Final = "identity.external_ids."
_PERSON: Final = "person."
_CONSENT: Final = "consent."

Read = dict[str, list[str]]
"""Target -> the texts in the fields that mean it, the likeliest field first."""


def read_fields(fields: Sequence[Field], own: Mapping[str, str]) -> Read:
    """What the filled `fields` say, trimmed at the ends. `own` is the source's table: field name -> target."""
    ranked: dict[str, list[tuple[int, str]]] = {}
    boxes: dict[str, dict[int, str]] = {}
    for one in fields:
        text = one.text.strip()
        found = _meaning(one.name, own)
        if found is None:
            continue
        ranked.setdefault(found.target, []).append((found.rank, text))
        if found.target in _BOXES_TO_JOIN and (box := _box(one.name)) is not None:
            boxes.setdefault(found.target, {}).setdefault(box, text)
    read = {target: [text for _, text in sorted(found, key=_rank)] for target, found in ranked.items()}
    if MESSAGE in ranked:  # several boxes of one question may be ticked
        likeliest = min(ranked[MESSAGE])[0]
        read[MESSAGE] = ["\n".join(text for rank, text in ranked[MESSAGE] if rank == likeliest)]
    for target, numbers in boxes.items():
        if (joined := _joined(target, numbers)) is not None:
            read[target].insert(0, joined)
    for target in _BOXES_TO_JOIN:
        repeated = dict(enumerate(read.get(target, []), 1))
        if target not in boxes and (joined := _joined(target, repeated)) is not None:
            read[target].insert(0, joined)
    return read


def identity(read: Read, fields: Sequence[Field]) -> dict[str, Any]:
    """Who it is. A text too long to be an identifier is none; it is kept with the fields.

    On a page whose names say nothing (`input_3`), an e-mail address is known by its look, if there is just one.
    """
    found: dict[str, Any] = {}
    emails = [text for text in read.get(EMAIL, []) if len(text) <= limits.EMAIL_CHARS_MAX]
    if emails:
        found["email"] = next((text for text in emails[:_CANDIDATES_MAX] if is_email(text)), emails[0])
    phones = [text for text in read.get(PHONE, []) if len(text) <= limits.PHONE_CHARS_MAX]
    if phones:
        found["phone"] = next((text for text in phones[:_CANDIDATES_MAX] if _has_digit(text)), phones[0])
    if not found and (email := _by_its_look(fields)) is not None:
        found["email"] = email
    for target, texts in read.items():
        if target.startswith(_EXTERNAL) and len(texts[0]) <= limits.IDENTIFIER_CHARS_MAX:
            found.setdefault("external_ids", {})[target.removeprefix(_EXTERNAL)] = texts[0]
    visitors = read.get("identity.visitor_id", [])
    if visitors and len(visitors[0]) <= limits.IDENTIFIER_CHARS_MAX:
        found["visitor_id"] = visitors[0]
    return found


def is_email(text: str) -> bool:
    """Whether `text` looks like one e-mail address and nothing else, in full width or half."""
    return len(text) <= limits.EMAIL_CHARS_MAX and _EMAIL.fullmatch(text) is not None


def person(read: Read) -> dict[str, Any]:
    """What is said of the person and their company."""
    found: dict[str, Any] = {
        target.removeprefix(_PERSON): texts[0] for target, texts in read.items() if target.startswith(_PERSON)
    }
    kana = [read[target][0] for target in (LAST_KANA, FIRST_KANA) if target in read]
    if kana and NAME_KANA not in read:
        found["name_kana"] = " ".join(kana)
    if EMPLOYEES in read:
        del found["employees"]
        if (number := _one_number(read[EMPLOYEES][0])) is not None:
            found["employees"] = number
    return found


def consent_answers(fields: Sequence[Field], own: Mapping[str, str]) -> list[tuple[str, str]]:
    """The fields about consent as pairs of meaning and text, in the order of the form."""
    found = ((_meaning(one.name, own), one.text.strip()) for one in fields)
    return [(known.target, text) for known, text in found if known is not None and known.target.startswith(_CONSENT)]


def _meaning(name: str, own: Mapping[str, str]) -> Meaning | None:
    target = own.get(name) or own.get(name.removesuffix("[]"))
    return meaning(name) if target is None else Meaning(target, _OWN)


def _rank(ranked: tuple[int, str]) -> int:
    return ranked[0]


def _box(name: str) -> int | None:
    found = numbered(name)
    return None if found is None else found[1]


def _joined(target: str, boxes: Mapping[int, str]) -> str | None:
    """The number that was spread over `boxes`, or None where each of them looks like something of its own."""
    least, most = _BOXES_TO_JOIN[target]
    texts = [boxes[number] for number in sorted(boxes)]
    if not least <= len(texts) <= most:
        return None
    return "-".join(texts) if all(map(_is_box, texts)) else None


def _is_box(text: str) -> bool:
    return len(text) <= _BOX_CHARS_MAX and _BOX.fullmatch(unicodedata.normalize("NFKC", text)) is not None


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _by_its_look(fields: Sequence[Field]) -> str | None:
    candidates = {one.text.strip() for one in fields if "@" in one.text or "＠" in one.text}
    if len(candidates) > _CANDIDATES_MAX:
        return None
    addresses = [text for text in candidates if is_email(text)]
    return addresses[0] if len(addresses) == 1 else None


def _one_number(text: str) -> int | None:
    """`１，２００名` is 1200; `11-50` and `about 100` are no one number."""
    if len(text) > _NUMBER_CHARS_MAX:
        return None
    found = _ONE_NUMBER.fullmatch(unicodedata.normalize("NFKC", text).strip().lower())
    number = int(found[1].replace(",", "")) if found is not None else limits.EMPLOYEES_MAX + 1
    return number if number <= limits.EMPLOYEES_MAX else None
