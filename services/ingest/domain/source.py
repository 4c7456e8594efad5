"""A source: who sends, from which pages, how much, and where its forms may send people on to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import AddressValueError, IPv6Address
from typing import Final
from urllib.parse import unquote

from funnel.contracts import ConsentStatement, Person
from services.ingest.domain.receipt import DEFAULT_SOURCE

ANY_ORIGIN: Final = "*"

ORIGIN_CHARS_MAX: Final = 300
"""Of an origin. None is longer; turning a host into ASCII takes time that grows with the square of its length."""

REDIRECT_CHARS_MAX: Final = 2000
"""Of an address to go on to: as much as every browser and proxy takes."""

_HOST_CHARS_MAX: Final = 253
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]{0,31})://(\[[0-9a-f:.]+\]|[^\s/?#@:\[\]\\]+)(?::([0-9]{1,5}))?")
_HOST = re.compile(r"[a-z0-9._-]+")
_REDIRECT = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?(/[^?#]*)(?:[?#].*)?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORT_MAX: Final = 65_535
_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_FIELDS: Final = frozenset(
    {
        *("identity.email", "identity.phone", "identity.visitor_id"),
        *(f"person.{name}" for name in Person.__struct_fields__),
        *(f"consent.{name}" for name in ConsentStatement.__struct_fields__),
    }
)
_OPEN_FIELD = re.compile(r"(identity\.external_ids|properties)\.[A-Za-z0-9_.-]{1,64}")
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f\\\s]")


class KeyKind(StrEnum):
    """A write key is public, it stands in pages; a secret key is known to servers only."""

    WRITE = "write"
    SECRET = "secret"  # noqa: S105 - a word, not a password


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends. Origins and redirects are normalised (`normalise_origin`, `normalise_redirect`).

    `origins`: the sites whose pages may use the write key, such as `https://www.example.com`; `*` is any.
    `redirects`: where a form may send people on to, as beginnings of URLs, such as `https://www.example.com/`.
    `events_per_second`: what each kind of key may send to one process in the long run, forms apart from the rest.
    `honeypot`: the form field that people do not see and leave empty. `min_fill_seconds`: who is faster is no person.
    `turnstile`: whether forms bring a Turnstile answer. `fields`: form field -> our field, `{"q1": "person.company"}`.
    """

    name: str
    origins: tuple[str, ...] = ()
    redirects: tuple[str, ...] = ()
    events_per_second: int = 1000
    honeypot: str = "website_confirm_url"
    min_fill_seconds: float = 2.0
    turnstile: bool = False
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    active: bool = True

    def takes_origin(self, origin: str) -> bool:
        """Whether a page of `origin`, as a browser names it, is among `origins`."""
        origins = self.origins
        return origin in origins or ANY_ORIGIN in origins or normalise_origin(origin) in origins

    def may_redirect_to(self, url: str) -> bool:
        """Whether a form may send people on to `url`. On this machine any port will do: it is a developer's."""
        target = _redirect(url)
        if target is None or _climbs(target):
            return False
        return any(_leads_to(prefix, target) for prefix in self.redirects)


DEFAULT: Final = Source(DEFAULT_SOURCE)
"""Who sends without saying so."""


def normalise_origin(text: str) -> str | None:
    """`text` as browsers write an origin: lower case, ASCII host, no default port. None when it is not one.

    A slash at the end is forgiven. Never raises.
    """
    if len(text) > ORIGIN_CHARS_MAX:
        return None
    found = _ORIGIN.fullmatch(text.strip().lower().removesuffix("/"))
    if found is None:
        return None
    scheme, written, port = found.groups()
    host = _host(written)
    if host is None:
        return None
    if port is None or int(port) == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}" if 0 < int(port) <= _PORT_MAX else None


def normalise_redirect(text: str) -> str | None:
    """`text` as the beginning of URLs that people may be sent to; None when it is not one.

    It names a scheme (http or https) and a host, and the host ends with a slash: `https://www.example.com` must not
    be the beginning of `https://www.example.com.evil.example`.
    """
    target = _redirect(text.strip())
    return None if target is None or "?" in target or "#" in target or _climbs(target) else target


def is_field(path: str) -> bool:
    """Whether a form field may be mapped to `path`, such as `person.company` or `identity.external_ids.crm`."""
    return path in _FIELDS or _OPEN_FIELD.fullmatch(path) is not None


def _host(written: str) -> str | None:
    """A host in lower case as browsers write it, or None.

    What comes out is looked at again: IDNA makes `@`, a backslash and other separators of their full-width forms.
    """
    if len(written) > _HOST_CHARS_MAX:
        return None
    try:
        if written.startswith("["):
            return f"[{IPv6Address(written[1:-1]).compressed}]"
        host = written if written.isascii() else written.encode("idna").decode("ascii")
    except (AddressValueError, UnicodeError):
        return None
    return host if len(host) <= _HOST_CHARS_MAX and _HOST.fullmatch(host) is not None else None


def _redirect(url: str) -> str | None:
    """An absolute http(s) URL with its origin normalised and at least a slash after it, or None.

    Refuses what browsers read differently from us: backslashes, control characters, blanks, a user before the host.
    """
    if len(url) > REDIRECT_CHARS_MAX or _NOT_IN_URLS.search(url):
        return None
    scheme, separator, rest = url.partition("://")
    if scheme.lower() not in _DEFAULT_PORTS or not separator:
        return None
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    origin = normalise_origin(f"{scheme}://{authority}")
    if origin is None:
        return None
    path = rest[len(authority) :]
    return origin + (path if path.startswith("/") else f"/{path}")


def _climbs(url: str) -> bool:
    """Whether a segment of the path of `url`, as `_redirect` returns it, is `..`, in plain or percent-encoded."""
    found = _REDIRECT.fullmatch(url)
    return found is None or ".." in unquote(found[3]).split("/")


def _leads_to(prefix: str, target: str) -> bool:
    if target.startswith(prefix):
        return True
    allowed, asked = _REDIRECT.fullmatch(prefix), _REDIRECT.fullmatch(target)
    if allowed is None or asked is None or asked[2] not in _THIS_MACHINE:
        return False
    return allowed.group(1, 2) == asked.group(1, 2) and asked[3].startswith(allowed[3])
