"""The event that the address of a pixel tells of."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

DEFAULT_TYPE: Final = "page.viewed"
_PARAMETERS_MAX: Final = 50


def event_of(query: bytes, referer: bytes | None) -> dict[str, Any]:
    """The event in a query string such as `visitor_id=v-1&type=email.opened&page_url=..`, not checked yet.

    Without `page_url` the page is the one that shows the image: the Referer. No e-mail address and no phone number is
    read: addresses stand in the logs of every proxy on the way.
    """
    given = _parameters(query)
    system, _, number = given.get("external_id", "").partition(":")
    event: dict[str, Any] = {
        "type": given.get("type") or DEFAULT_TYPE,
        "identity": {"visitor_id": given.get("visitor_id"), "external_ids": {system: number} if number else None},
        "context": {
            "page_url": given.get("page_url") or (referer or b"").decode("utf-8", "replace"),
            "referrer": given.get("referrer"),
        },
    }
    return event | {name: given[name] for name in ("event_id", "occurred_at") if given.get(name)}


def _parameters(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(query.decode("utf-8", "replace"), max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        return {}
    return dict(pairs)
