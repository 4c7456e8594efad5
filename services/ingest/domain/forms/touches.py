"""Where somebody came from: campaign parameters and click ids, and the visits that a page remembered.

Click ids are compared by whoever gave them out, letter by letter: only their names are brought to lower case.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from services.ingest.domain import limits
from services.ingest.domain.fields import Unfit, moment
from services.ingest.domain.forms import bounds

_CLICK_IDS: Final = frozenset(
    {
        *("gclid", "gbraid", "wbraid", "gad_campaignid", "fbclid", "msclkid", "ttclid", "twclid"),
        *("li_fat_id", "rdt_cid", "sccid", "epik"),
    }
)
_UTM: Final = "utm_"
_URLS: Final = ("page_url", "landing_url", "referrer")

Pairs = Iterable[tuple[str, str]]


def pairs_of(url: str | None) -> list[tuple[str, str]]:
    """The parameters in the query of `url`."""
    if not url:
        return []
    try:
        query = urlsplit(url).query
        return parse_qsl(query, max_num_fields=bounds.FIELDS_MAX)
    except ValueError:  # no URL at all, or parameters without end
        return []


def utm(*places: Pairs) -> dict[str, str]:
    """The campaign of the first place that names one; places are never mixed, they may be different visits."""
    for place in places:
        found: dict[str, str] = {}
        for name, text in place:
            key = name.lower()
            if key.startswith(_UTM) and len(key) > len(_UTM) and text.strip():
                found.setdefault(key.removeprefix(_UTM), text.strip())
        if found:
            return found
    return {}


def click_ids(*places: Pairs) -> dict[str, str]:
    """The click ids of all places; where two give the same one, that of the earlier place."""
    found: dict[str, str] = {}
    for place in places:
        for name, text in place:
            key = name.lower()
            known = key in _CLICK_IDS or key.endswith("clid")
            if known and text.strip() and len(found) < limits.CLICK_IDS_MAX:
                found.setdefault(key, text.strip())
    return found


def remembered(text: str) -> dict[str, Any] | None:
    """The visit that a page remembered as `text`: a JSON object, or just the address it began at.

    None when nothing can be read from it. Campaign and click ids are read from its addresses where it has none.
    """
    if text.startswith(("http://", "https://")):
        return _visit({"landing_url": text})
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _visit(given) if isinstance(given, dict) else None


def _visit(given: Mapping[str, Any]) -> dict[str, Any] | None:
    visit: dict[str, Any] = {name: given[name] for name in _URLS if _is_text(given.get(name))}
    if (at := _moment(given.get("at"))) is not None:
        visit["at"] = at.isoformat()
    addresses = [pairs_of(visit.get(name)) for name in ("landing_url", "page_url")]
    flat = [(name, text) for name, text in given.items() if _is_text(text)]
    told_utm = [(_UTM + name, text) for name, text in _object(given.get("utm"))]
    if campaign := utm(told_utm, flat, *addresses):
        visit["utm"] = campaign
    told = [(name, text) for name, text in _object(given.get("click_ids"))]
    if clicks := dict(told[: limits.CLICK_IDS_MAX]) or click_ids(flat, *addresses):
        visit["click_ids"] = clicks
    return visit or None


def _object(value: Any) -> list[tuple[str, str]]:
    """The texts in a JSON object."""
    return [(name, text) for name, text in value.items() if _is_text(text)] if isinstance(value, dict) else []


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _moment(value: Any) -> datetime | None:
    try:
        found: datetime = moment(value)
    except Unfit:
        return None
    return found
