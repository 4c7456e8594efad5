"""Where a form sends people on to: only to pages that its source lists."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urljoin

from services.ingest.domain.source import REDIRECT_CHARS_MAX, Source, normalise_origin

_ASCII: Final = "".join(map(chr, range(0x21, 0x7F)))
_SCHEME_END: Final = "://"


def location(wanted: str, page: str | None, source: Source) -> str | None:
    """`wanted` as it goes into a Location header, or None when `source` does not list it.

    A path (`/thanks`) is one on the site of `page`, where the form stands. Only what was compared
    is sent: an absolute URL in ASCII. Never raises: whatever cannot be read as an address is none.
    """
    if len(wanted) > REDIRECT_CHARS_MAX:
        return None
    try:
        return _location(wanted, None if page is None else page[:REDIRECT_CHARS_MAX], source)  # only its site counts
    except ValueError:  # UnicodeError is one, too
        return None


def _location(wanted: str, page: str | None, source: Source) -> str | None:
    url = urljoin(page, wanted) if wanted.startswith("/") and page is not None else wanted
    if not source.may_redirect_to(url):
        return None
    scheme, _, rest = url.partition(_SCHEME_END)
    authority = rest[: _end_of_authority(rest)]
    origin = normalise_origin(f"{scheme}{_SCHEME_END}{authority}")
    if origin is None:
        return None
    path = rest[len(authority) :]
    return origin + quote(path if path.startswith("/") else f"/{path}", safe=_ASCII)


def _end_of_authority(rest: str) -> int:
    return next((at for at, sign in enumerate(rest) if sign in "/?#"), len(rest))
