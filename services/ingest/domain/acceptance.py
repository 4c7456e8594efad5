"""The verdict on one item: the record to store for it, or why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from hashlib import blake2b
from typing import Any, Final

import msgspec

from funnel.envelope import format_time
from services.ingest.domain import limits
from services.ingest.domain.decoding import NotJson, check_storable, decoded
from services.ingest.domain.fields import Fault, Unfit
from services.ingest.domain.identity import record_key, strongest
from services.ingest.domain.kinds import Kind
from services.ingest.domain.receipt import Receipt

_BODY_HASH_BYTES: Final = 16
_ESCAPED_NUL: Final = b"\\u0000"


class Why(Enum):
    """Why an item is refused for good."""

    NOT_JSON = "not JSON"
    TOO_LARGE = "too large"
    UNFIT = "unfit"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record to store. `body_hash` is equal for equal bodies, whatever their spaces and order of fields."""

    event_id: str
    type: str
    body_hash: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """`event_id` is the client's, where it gave a usable one."""

    event_id: str | None
    why: Why
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Judges the items of one request. `traceparent` is the request's, passed on to all that follows from it."""

    kind: Kind
    receipt: Receipt
    key_secret: bytes
    traceparent: bytes | None = None

    def judge(self, item: bytes | Unfit, fresh_id: str) -> Accepted | Refused:
        """The verdict on an undecoded item; `fresh_id` is used when it brings no id of its own."""
        if isinstance(item, Unfit):
            return Refused(None, Why.UNFIT, item.faults)
        if len(item) > limits.EVENT_BYTES_MAX:
            detail = f"is larger than {limits.EVENT_BYTES_MAX} bytes"
            return Refused(None, Why.TOO_LARGE, (Fault("", detail),))
        try:
            sent = decoded(item)
        except NotJson as found:
            return Refused(None, Why.NOT_JSON, (Fault("", str(found)),))
        except Unfit as found:
            return Refused(None, Why.UNFIT, found.faults)
        return self.judge_value(sent, fresh_id)

    def judge_value(self, sent: Any, fresh_id: str) -> Accepted | Refused:
        """The verdict on a decoded JSON value."""
        try:
            canonical = _canonical(sent)
            kept = self.kind.read(sent)
        except Unfit as found:
            return Refused(_usable_id(sent), Why.UNFIT, found.faults)
        faults = tuple(self.kind.check(kept))
        if faults:
            return Refused(_usable_id(sent), Why.UNFIT, faults)
        return self._accepted(kept, kept.get("event_id", fresh_id), canonical)

    def _accepted(self, kept: Mapping[str, Any], event_id: str, canonical: bytes) -> Accepted:
        times = self._times(kept.get("occurred_at"))
        stored = {
            **kept,
            **times,
            "event_id": event_id,
            "source": self.receipt.source,
            "received_at": self.receipt.at_text,
            "mode": self.receipt.mode,
        }
        body_hash = blake2b(canonical, digest_size=_BODY_HASH_BYTES).hexdigest()
        key = self._key(kept)
        headers: tuple[tuple[str, bytes], ...] = (
            ("ce_specversion", b"1.0"),
            ("ce_id", event_id.encode()),
            ("ce_type", f"{self.kind.type_prefix}{kept['type']}".encode()),
            ("ce_source", self.receipt.source.encode()),
            ("ce_time", times["occurred_at"].encode()),
            ("ce_subject", key),
            ("ce_dataschema", self.kind.dataschema.encode()),
            ("content-type", b"application/json"),
            ("ce_bodyhash", body_hash.encode()),
        )
        if self.traceparent is not None:
            headers += (("traceparent", self.traceparent),)
        return Accepted(event_id, kept["type"], body_hash, key, msgspec.json.encode(stored), headers)

    def _times(self, claimed: datetime | None) -> dict[str, str]:
        """When it happened: as claimed, but not after its receipt; what was claimed then is kept beside it."""
        if claimed is None:
            return {"occurred_at": self.receipt.at_text}
        if claimed <= self.receipt.at:
            return {"occurred_at": format_time(claimed)}
        return {"occurred_at": self.receipt.at_text, "occurred_at_sent": format_time(claimed)}

    def _key(self, kept: Mapping[str, Any]) -> bytes:
        if self.kind.about_lead and "lead_id" in kept:
            return str(kept["lead_id"]).lower().encode()
        identifier = strongest(kept["identity"])
        if identifier is None:
            raise ValueError("nothing to make a key of; Kind.check lets no such item through")
        return record_key(identifier, self.key_secret)


def _canonical(sent: Any) -> bytes:
    """The item as sent, with sorted keys and no spaces. Raises Unfit when it holds text that cannot be stored."""
    try:
        canonical = msgspec.json.encode(sent, order="sorted")
    except UnicodeEncodeError:
        check_storable(sent)
        raise
    if _ESCAPED_NUL in canonical:
        check_storable(sent)
    return canonical


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
