"""What the person agreed to, channel by channel. What was not asked is absent: that is not a yes, and not a no."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from services.ingest.domain.fields import Unfit, moment
from services.ingest.domain.forms.aliases import AGREEMENT, CONSENT_TEXT, NEWSLETTER
from services.ingest.domain.forms.names import folded

CONSENT: Final = "consent"
LEGITIMATE_INTEREST: Final = "legitimate_interest"

_YES: Final = re.compile(
    "on|true|yes|y|1|ok|checked|(i)?(agree|accept|consent)(d|ed)?|subscribe|subscribed|optin|ハイ|可|希望|同意|承諾|"
    ".*(同意|希望|承諾|了承|許可)(シマス|スル|シタ|シマシタ|済|済ミ)|.*受ケ取(ル|リマス)"
)
_NO: Final = re.compile(
    "off|false|no|n|0|none|unchecked|(i)?(donot|dont)(agree|accept|consent)|disagree|decline|declined|optout|unsubscribe|"
    "イイエ|不可|不要|拒否|.*(同意|希望|承諾|了承|許可)(シナイ|シマセン)|.*受ケ取ラナイ|.*受ケ取リマセン"
)
_PREFIX: Final = "consent."
_ANSWER_CHARS_MAX: Final = 100


def _is_moment(text: str) -> bool:
    try:
        moment(text)
    except Unfit:
        return False
    return True


_PROOF: Final[Mapping[str, Callable[[str], bool]]] = {
    CONSENT_TEXT: bool,
    "consent.basis": (CONSENT, LEGITIMATE_INTEREST).__contains__,
    "consent.at": _is_moment,
}
"""What is said of the consent beside yes and no, and when it can be believed."""


def answer(text: str) -> bool | None:
    """Yes or no, or None for a text that plainly says neither."""
    if len(text) > _ANSWER_CHARS_MAX:
        return None
    fold = folded(text)[:_ANSWER_CHARS_MAX]
    if _NO.fullmatch(fold):
        return False
    return True if _YES.fullmatch(fold) else None


def of_fields(answers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The consent in pairs of a meaning (`consent.email`) and what was chosen.

    The last word on a channel counts: frameworks put a hidden "0" before each checkbox.
    """
    implied: dict[str, bool] = {}
    channels: dict[str, bool] = {}
    proof: dict[str, str] = {}
    agreed = False
    for target, text in answers:
        if target in _PROOF:
            if _PROOF[target](text):
                proof[target.removeprefix(_PREFIX)] = text
        elif (said := answer(text)) is None:
            continue
        elif target == AGREEMENT:
            agreed = said
        elif target == NEWSLETTER:
            implied = dict.fromkeys(("marketing", "email"), said)
        else:
            channels[target.removeprefix(_PREFIX)] = said
    channels = implied | channels
    if agreed or True in channels.values():
        proof.setdefault("basis", CONSENT)
    return {**channels, **proof}


def of_hubspot(options: Mapping[str, Any]) -> dict[str, Any]:
    """The consent in HubSpot's `legalConsentOptions`. Its subscriptions are about e-mail."""
    given, interest = options.get("consent"), options.get("legitimateInterest")
    if isinstance(given, dict):
        asked = given.get("communications")
        communications = [one for one in asked if isinstance(one, dict)] if isinstance(asked, list) else []
        answers = [one["value"] for one in communications if isinstance(one.get("value"), bool)]
        agreed = given.get("consentToProcess") is True or any(answers)
        texts = [given.get("text"), *(one.get("text") for one in communications if one.get("value") is True)]
        return _statement(any(answers) if answers else None, CONSENT if agreed else None, texts)
    if isinstance(interest, dict):
        value = interest.get("value")
        allowed = value if isinstance(value, bool) else None
        return _statement(allowed, LEGITIMATE_INTEREST if allowed else None, [interest.get("text")])
    return {}


def _statement(allowed: bool | None, basis: str | None, texts: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {} if allowed is None else {"marketing": allowed, "email": allowed}
    if basis is not None:
        found["basis"] = basis
    if text := "\n".join(text.strip() for text in texts if isinstance(text, str) and text.strip()):
        found["text"] = text
    return found
