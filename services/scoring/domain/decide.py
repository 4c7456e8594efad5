"""The decision of scoring: events in, leads and touches out. Pure; everything it needs was read before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec

from funnel.contracts import LeadEvent
from funnel.envelope import Outgoing
from funnel.identifiers import Identifier
from services.scoring.domain.identity import Conflict, Resolution, Sighting, resolve
from services.scoring.domain.lead import Draft, Lead, PublishedBefore
from services.scoring.domain.score import Scorer
from services.scoring.domain.touch import Touched, identifiers, touched, visitor_subject

TOPIC = "lead-scores"
SERVICE = "scoring"
EVENT_TYPE = "lead.scored"
SCHEMA = "lead_score.v2"

_encoder = msgspec.json.Encoder()


class Refused(Exception):
    """The event can never be scored; the message says why."""


class Reading(NamedTuple):
    """An event as scoring reads it: who it says it is about, and the touch it makes."""

    sighting: Sighting
    touch: Touched
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class State:
    """What is known before a batch, of everything the batch points to."""

    bindings: Mapping[Identifier, str | None]
    """The lead of each identifier in the batch, None where nobody has claimed it."""
    leads: Mapping[str, Lead]
    """The leads in `bindings`."""
    touches: Mapping[str, Sequence[Touched]]
    """By subject: the touches of visitors who may be identified now, and of leads scored by other rules."""
    promised: Mapping[Identifier, PublishedBefore] = field(default_factory=dict)
    """Unclaimed identifiers of the batch, and the lead that had claimed them when it was published."""


@dataclass(frozen=True, slots=True)
class Change:
    """A lead to store, with the JSON that is both published and stored."""

    lead: Lead
    published: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch leads to. `touches` are stored under the subject beside them: a lead, or a visitor."""

    changes: Sequence[Change]
    claimed: Mapping[Identifier, str]
    touches: Sequence[tuple[str, Touched]]
    conflicts: Sequence[Conflict]
    outgoing: Sequence[Outgoing]


def read(source: str, event_id: str, event: LeadEvent, traceparent: str | None) -> Reading:
    """What `event` says. Raises Refused for an event that is about nobody."""
    found = identifiers(event.identity)
    if not found:
        raise Refused("identity: there is no identifier in it")
    return Reading(Sighting(source, event_id, found), touched(source, event_id, event), traceparent)


def decide(scorer: Scorer, state: State, readings: Sequence[Reading], now: datetime) -> Outcome:
    """Apply the events in order: find each one's lead, take in its touch, score what changed."""
    owned = {lead_id: lead.identifiers for lead_id, lead in state.leads.items()}
    promised = {identifier: before.lead_id for identifier, before in state.promised.items()}
    resolution = resolve(state.bindings, owned, [reading.sighting for reading in readings], promised)
    drafts, touches = _apply(scorer, state, resolution, readings, now)
    changes: list[Change] = []
    outgoing: list[Outgoing] = []
    for draft in drafts.values():
        lead, traceparent = draft.finish(now), readings[draft.cause_index].traceparent
        published = _encoder.encode(lead.record)
        changes.append(Change(lead, published))
        outgoing.append(_announcement(lead, published, now, traceparent))
    return Outcome(changes, resolution.claimed, touches, resolution.conflicts, outgoing)


def _apply(
    scorer: Scorer, state: State, resolution: Resolution, readings: Sequence[Reading], now: datetime
) -> tuple[dict[str, Draft], list[tuple[str, Touched]]]:
    drafts: dict[str, Draft] = {}
    anonymous: dict[str, list[Touched]] = {}
    touches: list[tuple[str, Touched]] = []
    unclaimed = dict(resolution.claimed)
    for index, (reading, lead_id) in enumerate(zip(readings, resolution.leads, strict=True)):
        sighting, touch, _ = reading
        if lead_id is None:
            subject = visitor_subject(sighting.identifiers[-1].value)
            anonymous.setdefault(subject, []).append(touch)
            touches.append((subject, touch))
            continue
        draft = drafts.get(lead_id)
        if draft is None:
            draft = drafts[lead_id] = _draft(scorer, state, lead_id, touch)
        for identifier in sighting.identifiers:
            if identifier in unclaimed:
                del unclaimed[identifier]
                draft.claim(identifier)
                if identifier.kind == "visitor":
                    subject = visitor_subject(identifier.value)
                    draft.adopt(subject, (*state.touches.get(subject, ()), *anonymous.get(subject, ())))
        draft.apply(touch, index, now)
        touches.append((lead_id, touch))
    return drafts, touches


def _draft(scorer: Scorer, state: State, lead_id: str, touch: Touched) -> Draft:
    """The draft of a known lead, or of the new one that `touch` creates."""
    lead = state.leads.get(lead_id)
    if lead is None:
        before = next((one for one in state.promised.values() if one.lead_id == lead_id), None)
        return Draft(lead_id, touch.occurred_at, scorer, before)
    if lead.record.config_version == scorer.config.version:
        return Draft.of(lead, scorer, None)
    subjects = (lead_id, *lead.evidence.subjects)
    return Draft.of(lead, scorer, [past for subject in subjects for past in state.touches.get(subject, ())])


def _announcement(lead: Lead, published: bytes, now: datetime, traceparent: str | None) -> Outgoing:
    record = lead.record
    return Outgoing(
        topic=TOPIC,
        key=record.lead_id,
        value=published,
        ce_id=f"{record.lead_id}:{record.version}",
        ce_type=EVENT_TYPE,
        ce_source=SERVICE,
        ce_time=now,
        ce_subject=record.lead_id,
        ce_dataschema=SCHEMA,
        traceparent=traceparent,
    )
