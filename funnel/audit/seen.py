"""A record as the auditor remembers it: who it is, and what it claims of a lead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from uuid import UUID

from funnel.audit.findings import Place
from funnel.contracts import LeadAssignment, LeadScore
from funnel.contracts.registry import decoder
from funnel.errors import Poison, UnknownVersion
from funnel.kafka.consumer import Record
from funnel.spine import Decoder, Message
from funnel.spine.chunks import HASH_BYTES, decode
from funnel.topics import topics

OWN_TOPICS = frozenset({"lead-scores", "lead-assignments", "lead-decisions", "ingest-receipts"})
"""Topics that only our services write to: an id there has one body."""

_CLAIMING = ("lead-scores", "lead-assignments")


@dataclass(frozen=True, slots=True)
class Scored:
    """What a record of lead-scores claims."""

    version: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """What a record of lead-assignments claims."""

    assignment_id: str
    epoch: int
    rep: str
    status: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A record: its identity and body as its readers take them, and what it claims of a lead.

    `lead_id` is None where the record is about no lead, or names one by what is no UUID. `broken`: its value can
    never be read.
    """

    place: Place
    source: str
    event_id: str
    hash: bytes
    lead_id: str | None = None
    claim: Scored | Assigned | None = None
    broken: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        return self.source, self.event_id


def seen(topic: str, record: Record) -> Seen:
    """The record as remembered."""
    headers = {name: value or b"" for name, value in record.headers}
    found = _identified(topic, record, headers)
    if topic in _CLAIMING:
        return _claiming(found, record.value or b"", headers.get("ce_dataschema"))
    return replace(found, lead_id=_uuid(record.key or b"")) if topic in OWN_TOPICS else found


def _identified(topic: str, record: Record, headers: Mapping[str, bytes]) -> Seen:
    place, raw = (topic, record.partition, record.offset), record.value or b""
    try:
        source, event_id = headers["ce_source"].decode(), headers["ce_id"].decode()
        told = headers.get("ce_bodyhash")
        return Seen(place, source, event_id, bytes.fromhex(told.decode()) if told else _hash(raw))
    except (KeyError, ValueError):  # not from our producers: the spine knows what to call it
        items, _ = decode(topic, [record], _decoders())
    if not items:  # of a newer schema: its readers wait in front of it
        return Seen(place, f"kafka:{topic}", f"{topic}/{record.partition}/{record.offset}", _hash(raw))
    item = items[0]
    return Seen(place, item.source, item.event_id, item.hash if isinstance(item, Message) else _hash(raw))


def _claiming(found: Seen, value: bytes, dataschema: bytes | None) -> Seen:
    """`found` with what its value claims."""
    try:
        claim = _decoders()[found.place[0]](value, dataschema.decode() if dataschema is not None else None)
    except UnknownVersion:
        return found
    except (Poison, UnicodeDecodeError):
        return replace(found, broken=True)
    match claim:
        case LeadScore():
            return replace(found, lead_id=_uuid(claim.lead_id.encode()), claim=Scored(claim.version))
        case LeadAssignment():
            assigned = Assigned(claim.assignment_id, claim.epoch, claim.rep.id, claim.status)
            return replace(found, lead_id=_uuid(claim.lead_id.encode()), claim=assigned)
        case _:
            raise TypeError(f"{found.place[0]} carries no {type(claim).__name__}")


@cache
def _decoders() -> Mapping[str, Decoder]:
    return {name: decoder(name) for name in topics()}


def _hash(raw: bytes) -> bytes:
    return blake2b(raw, digest_size=HASH_BYTES).digest()


def _uuid(text: bytes) -> str | None:
    try:
        return str(UUID(text.decode()))
    except ValueError:
        return None
