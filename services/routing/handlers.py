"""Routing's part of the spine's transaction: `lead-scores` and `lead-outcomes` in, assignments and decisions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from funnel.contracts import LeadOutcome, LeadScore
from funnel.postgres import Transaction
from funnel.spine import Decoder, Message, Outgoing, Rejected
from services.routing import store, wire
from services.routing.domain.batch import Changes, Loaded
from services.routing.domain.decide import decide
from services.routing.domain.lead import Cause, Lead, Outcome, ScoreSeen, name_of_lead
from services.routing.domain.lead_state import State
from services.routing.domain.needs import named_leads, needs
from services.routing.domain.pool import Pool, Rep
from services.routing.domain.records import DecisionRecord
from services.routing.domain.rules import RoutingRules
from services.routing.store import DecisionRow

HELD_PER_BATCH_MAX = 500
"""Held leads of a pool looked at in one transaction; the releaser comes back for the rest."""

CAPACITY = Cause(wire.SERVICE, "capacity")
"""The cause of what no event brought about: somebody can take a lead who could not before."""


@dataclass(frozen=True, slots=True)
class Keys:
    """A batch as read, and what was locked for it, in the order of the locks."""

    scores: Sequence[ScoreSeen] = ()
    outcomes: Sequence[Outcome] = ()
    inputs: Sequence[ScoreSeen | Outcome] = ()
    claims: Mapping[str, str] = field(default_factory=dict)
    leads: Mapping[str, Lead] = field(default_factory=dict)
    waiting: Sequence[Outcome] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    reps: Mapping[str, Rep] = field(default_factory=dict)
    freed: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """A batch and the state it meets."""

    inputs: Sequence[ScoreSeen | Outcome]
    loaded: Loaded


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write and to publish."""

    changes: Changes
    at: datetime
    outgoing: Sequence[Outgoing]
    rejected: Sequence[Rejected[Any]] = ()


class RoutingHandler:
    """Locks, always in this order: identifiers, leads, waiting outcomes, pools, reps; held leads without waiting."""

    name = wire.SERVICE

    def __init__(self, rules: RoutingRules) -> None:
        self._rules = rules
        self.decoders: Mapping[str, Decoder] = wire.DECODERS

    async def lock(self, tx: Transaction, messages: Sequence[Message[Any]]) -> Keys:
        inputs = [self._read(message) for message in messages]
        scores = [one for one in inputs if isinstance(one, ScoreSeen)]
        outcomes = [one for one in inputs if isinstance(one, Outcome)]
        claims, first_seen = await store.claim_names(tx, _names(scores, outcomes))
        leads = await store.lock_leads(tx, _lead_ids(scores, outcomes, claims))
        new = [name_of_lead(id_) for id_, lead in leads.items() if lead.state is State.UNKNOWN]
        waiting = await store.lock_waiting(tx, [*first_seen, *new])
        wanted = needs(leads, claims, scores, [*outcomes, *waiting])
        pools = wanted.pools | await store.pools_of(tx, wanted.freed)
        numbers, reps = await store.lock_pools(tx, pools, wanted.freed)
        return Keys(scores, outcomes, inputs, claims, leads, waiting, numbers, reps, wanted.freed)

    async def lock_pool(self, tx: Transaction, name: str) -> Keys:
        """Lock one pool and its reps, to drain it without any message."""
        numbers, reps = await store.lock_pools(tx, [name], ())
        return Keys(numbers=numbers, reps=reps)

    async def load(self, tx: Transaction, keys: Keys) -> Known:
        pools = await store.load_pools(tx, keys.numbers)
        held = await store.load_held(tx, _slots(pools.values(), keys.reps, keys.freed), keys.leads.keys())
        reported = {
            lead_id for outcome in (*keys.outcomes, *keys.waiting) for lead_id in named_leads(keys.claims, outcome)
        }
        queued = {lead_id for lead_id, lead in keys.leads.items() if lead.state is State.HELD}
        starting = {seen.lead_id for seen in keys.scores if seen.pool is not None}
        loaded = Loaded(
            leads={**held, **keys.leads},
            assignments=await store.load_assignments(tx, reported),
            deals=await store.load_deals(tx, reported | starting | queued | held.keys()),
            claims=keys.claims,
            waiting=keys.waiting,
            pools=pools,
            reps=keys.reps,
        )
        return Known(keys.inputs, loaded)

    def decide(self, state: Known, messages: Sequence[Message[Any]], now: datetime) -> Decision:
        changes = decide(state.loaded, state.inputs, now, CAPACITY)
        traces = {Cause(message.source, message.event_id): message.traceparent for message in messages}
        return Decision(changes, now, wire.published(changes.records, self._rules.version, traces))

    async def save(self, tx: Transaction, decision: Decision) -> None:
        rows = [decision_row(one) for one in decision.changes.records if isinstance(one, DecisionRecord)]
        await store.save(tx, decision.changes, rows, self._rules.version, decision.at)

    def _read(self, message: Message[Any]) -> ScoreSeen | Outcome:
        match message.value:
            case LeadScore():
                return wire.score_seen(message, self._rules)
            case LeadOutcome():
                return wire.outcome_seen(message)
            case _:
                raise TypeError(f"routing reads no {type(message.value).__name__}")


def _names(scores: Iterable[ScoreSeen], outcomes: Iterable[Outcome]) -> dict[str, str | None]:
    """Every name in the batch, with the lead that scoring says it belongs to; the first to say so is believed."""
    names: dict[str, str | None] = {}
    for seen in scores:
        for name in seen.names:
            names.setdefault(name, seen.lead_id)
    for outcome in outcomes:
        for name in outcome.names:
            names.setdefault(name, None)
    return names


def _lead_ids(scores: Iterable[ScoreSeen], outcomes: Iterable[Outcome], claims: Mapping[str, str]) -> set[str]:
    found = {seen.lead_id for seen in scores}
    return found.union(*(named_leads(claims, outcome) for outcome in outcomes))


def _slots(pools: Iterable[Pool], reps: Mapping[str, Rep], freed: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """(pool, rep, slots free in the pool) for each rep of a pool who may be able to take a held lead."""
    found: list[tuple[str, str, int]] = []
    for pool in pools:
        free = Counter({m.rep: reps[m.rep].free + freed.get(m.rep, 0) for m in pool.members if reps[m.rep].active})
        slots = min(free.total(), HELD_PER_BATCH_MAX)
        found += [(pool.name, rep, slots) for rep, count in free.items() if count]
    return found


def decision_row(record: DecisionRecord) -> DecisionRow:
    """The decision as it is kept."""
    lead = record.lead
    return DecisionRow(
        decision_id=wire.decision_id(record),
        lead_id=lead.lead_id if lead else None,
        version=lead.version if lead else None,
        kind=record.kind,
        at=record.at,
        source=record.cause.source,
        event_id=record.cause.event_id,
        mode="live" if record.live else "history",
        pool=record.pool,
        number=record.number,
        rule=lead.rule if lead else None,
        rep=record.rep,
        epoch=lead.epoch if lead and lead.epoch else None,
        state=lead.state if lead else None,
        stage=lead.stage if lead else None,
        reason=record.reason,
        candidates=record.candidates,
        outcome=msgspec.to_builtins(wire.reported(record.outcome, record.flags)) if record.outcome else None,
    )
