"""Scoring's part of the spine's transaction: `lead-events` in, leads and `lead-scores` out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from funnel.contracts.registry import decoder
from funnel.identifiers import Identifier
from funnel.postgres import Transaction
from funnel.spine import Decoder, Message, Outgoing, Rejected
from services.scoring import store
from services.scoring.domain.decide import Outcome, Reading, Refused, State, decide, read
from services.scoring.domain.lead import PublishedBefore
from services.scoring.domain.score import Scorer
from services.scoring.domain.touch import visitor_subject

TOPIC = "lead-events"


@dataclass(frozen=True, slots=True)
class Keys:
    """A batch as read, and what was locked for it."""

    readings: Sequence[Reading]
    rejected: Sequence[Rejected[Any]]
    bindings: Mapping[Identifier, str | None]
    promised: Mapping[Identifier, PublishedBefore]
    lead_ids: Collection[str]


@dataclass(frozen=True, slots=True)
class Known:
    """A batch and the state it meets."""

    keys: Keys
    state: State


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write."""

    outcome: Outcome
    decided_at: datetime
    rejected: Sequence[Rejected[Any]]

    @property
    def outgoing(self) -> Sequence[Outgoing]:
        return self.outcome.outgoing


class ScoringHandler:
    """Locks, always in this order: identifiers by (kind, value), leads published before a failover, leads by id."""

    name = "scoring"

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.decoders: Mapping[str, Decoder] = {TOPIC: decoder(TOPIC)}

    async def lock(self, tx: Transaction, messages: Sequence[Message[Any]]) -> Keys:
        readings: list[Reading] = []
        rejected: list[Rejected[Any]] = []
        for message in messages:
            try:
                readings.append(read(message.source, message.event_id, message.value, message.traceparent))
            except Refused as verdict:
                rejected.append(Rejected(message, str(verdict)))
        bindings, promises = await store.lock_identifiers(
            tx, {one for reading in readings for one in reading.sighting.identifiers}
        )
        before = await store.lock_published_before(tx, sorted(set(promises.values())))
        promised = {identifier: before[lead_id] for identifier, lead_id in promises.items()}
        lead_ids = {lead_id for lead_id in bindings.values() if lead_id is not None} | before.keys()
        await store.lock_leads(tx, lead_ids)
        return Keys(readings, rejected, bindings, promised, lead_ids)

    async def load(self, tx: Transaction, keys: Keys) -> Known:
        leads = await store.load_leads(tx, keys.lead_ids)
        subjects = _visitors_to_identify(keys)
        for lead_id, lead in leads.items():
            if lead.record.config_version != self._scorer.config.version:
                subjects += [lead_id, *lead.evidence.subjects]
        touches = await store.load_touches(tx, subjects)
        return Known(keys, State(keys.bindings, leads, touches, keys.promised))

    def decide(self, state: Known, messages: Sequence[Message[Any]], now: datetime) -> Decision:
        outcome = decide(self._scorer, state.state, state.keys.readings, now)
        return Decision(outcome, now, state.keys.rejected)

    async def save(self, tx: Transaction, decision: Decision) -> None:
        outcome = decision.outcome
        await store.save_leads(tx, outcome.changes, outcome.claimed, decision.decided_at)
        await store.save_touches(tx, outcome.touches)
        await store.save_conflicts(tx, outcome.conflicts)


def _visitors_to_identify(keys: Keys) -> list[str]:
    """Subjects of the unclaimed visitors that some event of the batch gives a name to."""
    visitors = {
        reading.sighting.identifiers[-1]
        for reading in keys.readings
        if len(reading.sighting.identifiers) > 1 and reading.sighting.identifiers[-1].kind == "visitor"
    }
    return [visitor_subject(visitor.value) for visitor in visitors if keys.bindings[visitor] is None]
