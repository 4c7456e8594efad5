"""The verdict on one item: the record to store for it, or why not.

Most items hold known fields with good values and nothing else. Those are decoded and checked in one go by msgspec, at
a third of the cost; whatever is unusual about an item, from an unknown field to a fault, sends it the long way through
the readers of `fields`, which alone say what is wrong. Both ways store the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from funnel.envelope import SUSPECT
from services.ingest.domain import limits
from services.ingest.domain.decoding import NotJson, check_storable, decoded
from services.ingest.domain.fields import Fault, Unfit
from services.ingest.domain.identity import record_key, strongest, strongest_of
from services.ingest.domain.kinds import Kind
from services.ingest.domain.receipt import Receipt
from services.ingest.domain.times import by_our_clock, written

Headers = tuple[tuple[str, bytes], ...]

_SET_BY_US: Final = ("source", "received_at", "mode", "occurred_at_sent")
"""What a client says under these names is not heard."""

_BODY_HASH: Final = blake2b(digest_size=16)
_ESCAPED_NUL: Final = b"\\u0000"

_LEAST_BYTES_OF_A_FIELD: Final = len('"":0,')
_MANY_FIELDS: Final = limits.FIELDS_MAX - len(("event_id", "occurred_at", "sent_at"))

_BLANK_TEXT: Final = re.compile(
    rb'":"(?=[ \\\xc2\xe1\xe2\xe3])(?: |\\[tnrf]|\\u00(?:0[bc]|1[c-f])'
    rb"|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]"
    rb'|\xe2\x81\x9f|\xe3\x80\x80)+"'
)
"""In JSON as we write it: a field whose text has no visible character (a test compares with `str.isspace`). Looking at
the first byte alone, before anything else, halves its time."""

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
"""Sorts the names in objects. The fields of a struct come as they are declared, which is sorted too."""


class Why(Enum):
    """Why an item is refused for good."""

    NOT_JSON = "not JSON"
    TOO_LARGE = "too large"
    UNFIT = "unfit"


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A record to store.

    `body_hash` is equal for bodies that say the same: it is made of what is kept of them, as claimed, without the id
    (it is compared under one id) and without `sent_at` (another one with each attempt).
    """

    event_id: str
    type: str
    body_hash: str
    key: bytes
    value: bytes
    headers: Headers


class Refused(msgspec.Struct, frozen=True, gc=False):
    """`event_id` is the client's, where it gave a usable one."""

    event_id: str | None
    why: Why
    faults: tuple[Fault, ...]


class Acceptance:
    """Judges the items of one request."""

    def __init__(
        self,
        kind: Kind,
        receipt: Receipt,
        key_secret: bytes,
        traceparent: bytes | None = None,
        suspect: Sequence[str] = (),
        bytes_max: int = limits.EVENT_BYTES_MAX,
    ) -> None:
        """`traceparent` is the request's, passed on to all that follows from it; `suspect` is why it may be spam.

        `bytes_max` is the size of the largest item.
        """
        self._bytes_max = bytes_max
        self._kind = kind
        self._receipt = receipt
        self._key_secret = key_secret
        self._is_live = receipt.mode == "live"
        self._sent_at = receipt.sent_at if kind.corrects_clocks else None
        self._received_at = written(receipt.at)
        self._closing = b',"mode":"%b","received_at":"%b","source":"%b"}' % (
            receipt.mode.encode(),
            self._received_at,
            receipt.source.encode(),  # no character of a source needs escaping
        )
        self._headers = _headers_of_all(kind.dataschema, receipt.source)
        if traceparent is not None:
            self._headers += (("traceparent", traceparent),)
        if suspect:
            self._headers += ((SUSPECT, ",".join(suspect).encode()),)

    def judge(self, item: bytes | Unfit, fresh_id: str) -> Accepted | Refused:
        """The verdict on an undecoded item; `fresh_id` is used when it brings no id of its own."""
        return self._judge(item, lambda _: fresh_id, 0)

    def judge_all(self, items: Iterable[bytes | Unfit], id_of: Callable[[int], str]) -> list[Accepted | Refused]:
        """The verdicts on undecoded items, in order; `id_of` is asked by index for those that bring no id."""
        judge = self._judge
        return [judge(item, id_of, index) for index, item in enumerate(items)]

    def _judge(self, item: bytes | Unfit, id_of: Callable[[int], str], index: int) -> Accepted | Refused:
        if isinstance(item, Unfit):
            return Refused(None, Why.UNFIT, item.faults)
        if len(item) > self._bytes_max:
            detail = f"is larger than {self._bytes_max} bytes"
            return Refused(None, Why.TOO_LARGE, (Fault("", detail),))
        return self._accept_usual(item, id_of, index) or self._judge_unusual(item, id_of, index)

    def _accept_usual(self, item: bytes, id_of: Callable[[int], str], index: int) -> Accepted | None:
        """The verdict on an item with nothing unusual about it; None: it takes the long way."""
        typed, settle = self._kind.typed, self._kind.read.settle
        if typed is None or settle is None or (b"\\" in item and _ESCAPED_NUL in item):
            return None
        try:
            event = settle(typed.decode(item))
        except (ValueError, RecursionError, Unfit):  # msgspec's own errors are ValueErrors
            return None
        identity, type_, event_id = event.identity, event.type, event.event_id
        if identity is None or not type_ or event_id.isspace():
            return None
        who = strongest_of(identity.email, identity.phone, identity.external_ids, identity.visitor_id)
        if who is None:
            return None
        claimed, sent_at = event.occurred_at, event.sent_at
        event.event_id, event.occurred_at, event.sent_at = "", None, None
        body = _encode(event)
        if _is_unusual(body, event.properties):
            return None
        key = record_key(who, self._key_secret)
        return self._accepted(body, type_, event_id or id_of(index), claimed, sent_at, key)

    def _judge_unusual(self, item: bytes, id_of: Callable[[int], str], index: int) -> Accepted | Refused:
        sent = None
        try:
            sent = decoded(item)
            if _ESCAPED_NUL in item:
                check_storable(sent)
            kept = self._kind.read(sent)
            faults = tuple(self._kind.check(kept))
        except NotJson as found:
            return Refused(None, Why.NOT_JSON, (Fault("", str(found)),))
        except Unfit as found:
            faults = found.faults
        if faults:
            return Refused(_usable_id(sent), Why.UNFIT, faults)
        for name in _SET_BY_US:
            kept.pop(name, None)
        key = self._key(kept)
        event_id = kept.pop("event_id", None) or id_of(index)
        claimed = kept.pop("occurred_at", None)
        sent_at = kept.pop("sent_at", None) if self._kind.corrects_clocks else None
        return self._accepted(_encode(kept), kept["type"], event_id, claimed, sent_at, key)

    def _accepted(
        self, body: bytes, type_: str, event_id: str, claimed: datetime | None, sent_at: datetime | None, key: bytes
    ) -> Accepted:
        """`body` is what is kept of the item as a JSON object, without its id and the two times."""
        digest = _BODY_HASH.copy()
        digest.update(body)
        occurred_at, times = self._received_at, b""
        if sent_at is None:
            sent_at = self._sent_at
        if claimed is not None:
            claim = occurred_at = written(claimed)
            digest.update(claim)
            happened = by_our_clock(claimed, sent_at if self._is_live else None, self._receipt.at)
            if happened != claimed:
                occurred_at, times = written(happened), b',"occurred_at_sent":"%b"' % claim
        if sent_at is not None:
            times += b',"sent_at":"%b"' % written(sent_at)
        body_hash = digest.hexdigest()
        value = b"".join(
            (
                body[:-1],
                b',"event_id":',
                _encode(event_id),
                b',"occurred_at":"',
                occurred_at,
                b'"',
                times,
                self._closing,
            )
        )
        headers = (
            ("ce_id", event_id.encode()),
            _type_header(self._kind.type_prefix, type_),
            ("ce_time", occurred_at),
            ("ce_subject", key),
            ("ce_bodyhash", body_hash.encode()),
        )
        return Accepted(event_id, type_, body_hash, key, value, headers + self._headers)

    def _key(self, kept: Mapping[str, Any]) -> bytes:
        if self._kind.about_lead and "lead_id" in kept:
            return str(kept["lead_id"]).lower().encode()
        who = strongest(kept["identity"])
        if who is None:
            raise ValueError("nothing to make a key of; Kind.check lets no such item through")
        return record_key(who, self._key_secret)


@lru_cache(maxsize=1024)  # most requests are of few sources
def _headers_of_all(dataschema: str, source: str) -> Headers:
    return (
        ("ce_specversion", b"1.0"),
        ("ce_source", source.encode()),
        ("ce_dataschema", dataschema.encode()),
        ("content-type", b"application/json"),
    )


@lru_cache(maxsize=1024)  # most events are of few types
def _type_header(prefix: str, type_: str) -> tuple[str, bytes]:
    return "ce_type", f"{prefix}{type_}".encode()


def _is_unusual(body: bytes, properties: Mapping[str, Any] | None) -> bool:
    """Whether the long way might find something in an event that its type cannot tell: blank text, depth, number."""
    if _BLANK_TEXT.search(body) is not None:
        return True
    if len(body) > _MANY_FIELDS * _LEAST_BYTES_OF_A_FIELD and body.count(b'":') > _MANY_FIELDS:
        return True
    for value in properties.values() if properties else ():
        if value.__class__ is dict or value.__class__ is list:
            return body.count(b"{") + body.count(b"[") > limits.DEPTH_MAX
    return False


def _usable_id(sent: Any) -> str | None:
    """The client's id of an item that is refused, so that the answer can name it."""
    given = sent.get("event_id") if isinstance(sent, dict) else None
    if not isinstance(given, str) or not 0 < len(given) <= limits.ID_CHARS_MAX:
        return None
    try:
        check_storable(given)
    except Unfit:
        return None
    return given
