"""What the metrics service does with a batch: the tally, the leads, the outcomes that count, the second witness."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from funnel.contracts import IngestReceipt, LeadAssignment, LeadDecision, LeadEvent, LeadScore
from funnel.contracts.registry import decoder
from funnel.errors import Poison
from funnel.postgres import Transaction
from funnel.spine import Decoder, Message, Outgoing, Rejected
from services.metrics import store
from services.metrics.domain.leads import Lead, apply_assignment, apply_decision, apply_score
from services.metrics.domain.outcomes import KEPT, CountedOutcome
from services.metrics.domain.receipts import Answered, answered_by
from services.metrics.domain.tallies import Increment, count_event, summed

TOPICS = ("lead-events", "lead-scores", "lead-assignments", "lead-decisions", "ingest-receipts")

_WITHOUT_LEAD = (LeadEvent, IngestReceipt)


@dataclass(frozen=True, slots=True)
class Keys:
    """The leads of a batch, and those of them with a fact about a deal in it."""

    lead_ids: tuple[str, ...]
    with_deals: frozenset[str]


@dataclass(frozen=True, slots=True)
class State:
    """The locked leads by id, and the time on the clock of Postgres (None without leads)."""

    leads: Mapping[str, Lead]
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write. Metrics publishes nothing."""

    leads: Sequence[Lead]
    counted: Sequence[CountedOutcome]
    increments: Sequence[Increment]
    answered: Mapping[str, Answered]
    rejected: Sequence[Rejected[Any]]
    outgoing: Sequence[Outgoing] = ()


class MetricsHandler:
    """Metrics' part of the spine's transaction.

    Locks: leads in the order of their ids, then rows of the tally, then ingest processes, each in the order of its key.
    """

    name = "metrics"

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self.decoders: Mapping[str, Decoder] = {topic: decoder(topic) for topic in TOPICS}

    async def lock(self, tx: Transaction, messages: Sequence[Message[Any]]) -> Keys:
        values = [message.value for message in messages if not isinstance(message.value, _WITHOUT_LEAD)]
        keys = Keys(
            tuple(sorted({value.lead_id for value in values if value.lead_id})),
            frozenset(value.lead_id for value in values if _tells_of_deal(value)),
        )
        if keys.lead_ids:
            await store.lock_leads(tx, keys.lead_ids)
        return keys

    async def load(self, tx: Transaction, keys: Keys) -> State:
        if not keys.lead_ids:
            return State({}, None)
        leads, read_at = await store.load_leads(tx, keys.lead_ids)
        # Only these need the outcomes counted before: to move them to an origin, or to know what a deal earns already.
        of_interest = [one for one in leads.values() if not one.score_version or one.lead_id in keys.with_deals]
        counted: defaultdict[str, list[CountedOutcome]] = defaultdict(list)
        if of_interest:
            for outcome in await store.load_counted(tx, [one.lead_id for one in of_interest]):
                counted[outcome.lead_id].append(outcome)
        loaded = {id_: replace(leads[id_], counted=tuple(outcomes)) for id_, outcomes in counted.items()}
        return State(leads | loaded, read_at)

    def decide(self, state: State, messages: Sequence[Message[Any]], now: datetime) -> Decision:
        leads = dict(state.leads)
        increments: list[Increment] = []
        rejected: list[Rejected[Any]] = []
        for message in messages:
            try:
                increments += self._apply(leads, message.value, state.read_at or now)
            except Poison as error:
                rejected.append(Rejected(message, str(error)))
        changed = [one for id_, one in leads.items() if one is not state.leads[id_]]
        known = {one.decision_id for lead in state.leads.values() for one in lead.counted}
        counted = [one for lead in changed for one in lead.counted if one.decision_id not in known]
        answered = answered_by(message.value for message in messages if isinstance(message.value, IngestReceipt))
        return Decision(changed, counted, summed(increments), answered, rejected)

    async def save(self, tx: Transaction, decision: Decision) -> None:
        if decision.leads:
            await store.save_leads(tx, decision.leads)
        if decision.counted:
            await store.save_counted(tx, decision.counted)
        if decision.increments:
            await store.add_tallies(tx, decision.increments)
        if decision.answered:
            await store.add_answered(tx, decision.answered)

    def _apply(self, leads: dict[str, Lead], value: Any, now: datetime) -> list[Increment]:
        """Apply one record to `leads`; what it adds to the tally. Raises Poison and then changes nothing."""
        increments: list[Increment] = []
        match value:
            case LeadEvent():
                return count_event(value, self._zone)
            case LeadScore():
                leads[value.lead_id], increments = apply_score(leads[value.lead_id], value, self._zone, now)
            case LeadAssignment():
                leads[value.lead_id] = apply_assignment(leads[value.lead_id], value, now)
            case LeadDecision(lead_id=str(lead_id)):
                leads[lead_id], increments = apply_decision(leads[lead_id], value, self._zone, now)
            case LeadDecision():
                pass  # an outcome that waits for its lead: it counts when it is applied
            case IngestReceipt():
                pass  # about no lead and in no tally
            case _:
                raise TypeError(f"metrics reads no {type(value).__name__}")
        return increments


def _tells_of_deal(value: object) -> bool:
    return isinstance(value, LeadDecision) and value.outcome is not None and value.outcome.type in KEPT
