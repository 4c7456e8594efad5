"""The gate: who is let in, as which source, and how much of them. In memory, without I/O: every post passes it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Protocol

from funnel.http import HttpProblem
from services.ingest.domain.access import ORIGIN, PUBLIC, UNKNOWN_KEY, Book, Caller, Use, bearer, is_allowed, page_of
from services.ingest.domain.bucket import Bucket
from services.ingest.domain.keys import looks_like_key, looks_secret
from services.ingest.domain.receipt import DEFAULT_SOURCE, Parameters
from services.ingest.domain.source import DEFAULT, KeyKind, Source

KEYS_RETRY_SECONDS: Final = 2
"""What 503 asks clients to wait for: the keys are there a moment after Postgres is."""

_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class Books(Protocol):
    """Where the gate looks up sources and keys. `loaded` is False until they were read once."""

    @property
    def loaded(self) -> bool: ...

    @property
    def book(self) -> Book: ...


class Gate:
    """Lets requests in by key, origin and rate."""

    def __init__(self, books: Books, *, keys_required: bool, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` is the clock of the books, in seconds: keys expire by it."""
        self._books = books
        self._keys_required = keys_required
        self._monotonic = monotonic
        self._buckets: dict[tuple[str, KeyKind | None, bool], Bucket] = {}

    def admit(self, use: Use, parameters: Parameters, authorization: bytes | None, origin: bytes | None) -> Caller:
        """Who sends this. The key comes from the header, else from the URL (write keys only).

        With a form the header may hold another's token, as HubSpot's own does for `/secure/submit/`: that is no key.
        Raises HttpProblem: 401 for a key that is missing, unknown or in the wrong place, 403 for what this key must
        not do or a page it must not be used on, 422 for a source that is not the key's, 503 while no key is known.
        """
        if parameters.key is not None and looks_secret(parameters.key):
            raise _secret_in_url()
        key = bearer(authorization) if authorization is not None else None
        if key is None or (use is Use.FORM and not looks_like_key(key)):
            key = parameters.key
        if key is None and authorization is not None and use not in PUBLIC:
            raise _unreadable_key()
        if key is None:
            return self._without_key(use, parameters, page_of(origin))
        return self._with_key(key, use, parameters, page_of(origin))

    def spend(self, caller: Caller, items: int) -> None:
        """Take `items` out of what `caller` may send. Raises HttpProblem 429 with Retry-After when that is used up.

        Forms are counted apart, so that nobody's beacons keep a lead out.
        """
        kind = caller.key_kind
        if kind is None and not self._keys_required:
            return
        source, now = caller.source, self._monotonic()
        sender = (source.name, kind, caller.use is Use.FORM)
        bucket = self._buckets.get(sender)
        if bucket is None or bucket.rate != source.events_per_second:
            bucket = self._buckets[sender] = Bucket(source.events_per_second, now)
        if wait := bucket.take(items, now):
            raise _rate_limited(source, wait)

    def allows_origin(self, origin: str, key: str | None) -> bool:
        """Whether a page of `origin` may read our answers: by the source of `key`, else by any active source."""
        book = self._books.book
        if key is None:
            return book.takes_origin(origin)
        held = None if looks_secret(key) else book.find(key, self._monotonic())
        source = book.sources[held.source] if held is not None else None
        return source is not None and source.active and source.takes_origin(origin)

    def _with_key(self, key: str, use: Use, parameters: Parameters, page: str | None) -> Caller:
        book = self._books.book
        held = book.find(key, self._monotonic())
        if held is None and use is Use.FORM:
            return Caller(self._claimed(None), use, "live", None, page, (UNKNOWN_KEY,))
        if not self._books.loaded:
            raise _keys_not_loaded()
        if held is None:
            raise _unknown_key()
        source = book.sources[held.source]
        if parameters.source is not None and parameters.source != source.name:
            raise _other_source(source)
        if not source.active:
            raise _inactive(source)
        if not is_allowed(held.kind, use, parameters.mode):
            raise _key_not_allowed()
        if page is None:
            return Caller(source, use, parameters.mode, held.kind, None)
        taken = source.takes_origin(page)
        if not taken and held.kind is KeyKind.WRITE and use is not Use.FORM:
            raise _origin_not_allowed(source)
        doubts = () if taken or not source.origins else (ORIGIN,)
        return Caller(source, use, parameters.mode, held.kind, page, doubts)

    def _without_key(self, use: Use, parameters: Parameters, page: str | None) -> Caller:
        if self._keys_required and not is_allowed(None, use, parameters.mode):
            raise _key_required(use)
        source = self._claimed(parameters.source)
        if not source.active:
            raise _inactive(source)
        taken = page is None or not source.origins or source.takes_origin(page)
        return Caller(source, use, parameters.mode, None, page, () if taken else (ORIGIN,))

    def _claimed(self, name: str | None) -> Source:
        """The source that a sender without a key is taken for.

        Where keys are required a name is believed with a key only; a form that claims one all the same is a lead.
        """
        sources = self._books.book.sources
        if name is None or self._keys_required:
            return sources.get(DEFAULT_SOURCE, DEFAULT)
        return sources.get(name) or Source(name)


def _secret_in_url() -> HttpProblem:
    detail = (
        "A secret key was given in the URL, where logs and browsers keep it: send it in the Authorization header, "
        "and rotate it. Only write keys may be given as ?key=."
    )
    return HttpProblem(401, "secret-key-in-url", "Secret key in the URL", detail, headers=_CHALLENGE)


def _key_required(use: Use) -> HttpProblem:
    what = "mode=history needs a secret key" if use in PUBLIC else "A key is needed here"
    detail = f"{what}: send it as `Authorization: Bearer KEY`. `funnel sources` makes keys."
    return HttpProblem(401, "key-required", "Key required", detail, headers=_CHALLENGE)


def _unreadable_key() -> HttpProblem:
    detail = "The Authorization header holds no key that can be read: send it as `Authorization: Bearer KEY`."
    return HttpProblem(401, "unknown-key", "Unknown key", detail, headers=_CHALLENGE)


def _unknown_key() -> HttpProblem:
    detail = "This key is not known here: it was never made, or it was revoked, or it has expired."
    return HttpProblem(401, "unknown-key", "Unknown key", detail, headers=_CHALLENGE)


def _keys_not_loaded() -> HttpProblem:
    detail = "The keys could not be read from Postgres yet, so this one cannot be judged. Nothing was stored."
    headers = {"Retry-After": str(KEYS_RETRY_SECONDS)}
    return HttpProblem(503, "keys-not-loaded", "Keys not loaded", detail, headers=headers)


def _inactive(source: Source) -> HttpProblem:
    return HttpProblem(403, "source-inactive", "Source inactive", f"The source {source.name} is switched off.")


def _key_not_allowed() -> HttpProblem:
    detail = (
        "A write key is for live events, forms, the beacon and the pixel; outcomes and mode=history need a secret key."
    )
    return HttpProblem(403, "key-not-allowed", "Key not allowed", detail)


def _origin_not_allowed(source: Source) -> HttpProblem:
    detail = (
        f"The page's origin is not among those of the source {source.name}; "
        f"add it with `funnel sources set {source.name} --origin URL`."
    )
    return HttpProblem(403, "origin-not-allowed", "Origin not allowed", detail)


def _other_source(source: Source) -> HttpProblem:
    detail = f"must be absent or {source.name}, the source of the key"
    return HttpProblem(
        422,
        "invalid-parameters",
        "Invalid parameters",
        f"In the URL: source {detail}.",
        errors=[{"parameter": "source", "detail": detail}],
    )


def _rate_limited(source: Source, wait: float) -> HttpProblem:
    detail = (
        f"The source {source.name} sends more than {source.events_per_second} items per second. Nothing was stored."
    )
    return HttpProblem(
        429, "rate-limited", "Rate limited", detail, headers={"Retry-After": str(max(1, math.ceil(wait)))}
    )
