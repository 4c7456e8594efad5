"""What routing does about records on its topics that its tables do not know: see `funnel.spine.reconcile`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from funnel import ids
from funnel.contracts import LeadAssignment, LeadDecision, LeadOutcome, LeadScore
from funnel.contracts.registry import decoder
from funnel.envelope import header
from funnel.postgres import Transaction
from funnel.spine import Decoder, Message, outbox
from funnel.spine.reconcile import Adoption, Published, note_read
from services.routing import store, wire
from services.routing.domain.adoption import ADOPTED, Adopted, Qualification, adopt
from services.routing.domain.lead import Cause, Outcome
from services.routing.domain.records import DecisionRecord, Kind
from services.routing.handlers import decision_row
from services.routing.store import DecisionRow

_READERS = {topic: decoder(topic) for topic in (wire.ASSIGNMENTS, wire.DECISIONS)}


class RoutingAdopter:
    """Knows an assignment record by assignment and status, a decision by its id."""

    topics: Sequence[str] = tuple(_READERS)
    decoders: Mapping[str, Decoder] = wire.DECODERS

    async def unknown(self, tx: Transaction, published: Sequence[Published]) -> list[Published]:
        assignments = [one.ce_id.rpartition(":")[0] for one in published if one.topic == wire.ASSIGNMENTS]
        statuses = await store.known_assignments(tx, assignments)
        decisions = await store.known_decisions(tx, [one.ce_id for one in published if one.topic == wire.DECISIONS])
        return [one for one in published if not (one.ce_id in decisions or _is_told(one, statuses))]

    async def adopt(self, tx: Transaction, published: Sequence[Published], inputs: Sequence[Message[Any]]) -> Adoption:
        values: list[LeadAssignment | LeadDecision] = [
            _READERS[one.topic](one.record.value or b"", header(one.record.headers, "ce_dataschema"))
            for one in published
        ]
        assignments = [one for one in values if isinstance(one, LeadAssignment)]
        reps = {one.rep.id: one.rep for one in assignments}
        lost_reps = await store.adopt_reps(tx, [(id_, rep.name or id_, rep.email or "") for id_, rep in reps.items()])
        loaded = await store.load_for_adoption(tx, {one.lead_id for one in values if one.lead_id}, _causes(values))
        now = max(one.at for one in values)
        adopted = adopt(loaded, values, _outcomes(inputs), _qualified(inputs), now)
        await _save(tx, adopted, values, now)
        await note_read(tx, [one for one in inputs if Cause(one.source, one.event_id) in adopted.absorbed])
        return Adoption(
            {
                "assignments": len(assignments),
                "decisions": len(values) - len(assignments),
                "published to complete them": len(adopted.records),
            },
            notes=[
                f"The rep {id_} was lost with the end of the database and owns leads. They are kept, inactive: "
                f"`funnel reps set {id_} --active --capacity N` when they may get more, and `funnel pools`."
                for id_ in lost_reps
            ],
        )


def _is_told(one: Published, statuses: Mapping[str, str]) -> bool:
    assignment, _, status = one.ce_id.rpartition(":")
    return assignment in statuses and status in ("assigned", statuses[assignment])


def _causes(values: Iterable[LeadAssignment | LeadDecision]) -> list[Cause]:
    return sorted(
        {Cause(one.outcome.source, one.outcome.event_id) for one in values if one.outcome is not None},
        key=lambda cause: (cause.source, cause.event_id),
    )


def _outcomes(inputs: Iterable[Message[Any]]) -> dict[Cause, Outcome]:
    seen = [wire.outcome_seen(one) for one in inputs if isinstance(one.value, LeadOutcome)]
    return {outcome.cause: outcome for outcome in seen}


def _qualified(inputs: Iterable[Message[Any]]) -> dict[str, list[Qualification]]:
    found: defaultdict[str, list[Qualification]] = defaultdict(list)
    for one in inputs:
        if isinstance(score := one.value, LeadScore) and score.qualified and score.mode == "live":
            found[score.lead_id].append(Qualification(score.version, score.qualified_at or score.at))
    return found


async def _save(
    tx: Transaction, adopted: Adopted, values: Sequence[LeadAssignment | LeadDecision], now: datetime
) -> None:
    version = values[-1].config_version
    emitted = [decision_row(one) for one in adopted.records if isinstance(one, DecisionRecord)]
    await store.save(tx, adopted.changes, emitted, version, now)
    await store.adopt_assignments(tx, adopted.assignments)
    for row, its_version in (*_told_rows(values), *_other_rows(adopted, version, now)):
        await store.save_decisions(tx, [row], its_version)
    await outbox.put(tx, wire.published(adopted.records, version, {}))


def _told_rows(values: Iterable[LeadAssignment | LeadDecision]) -> Iterator[tuple[DecisionRow, str]]:
    """The decisions that were published. What the candidates were is lost."""
    for one in values:
        if isinstance(one, LeadDecision):
            outcome = one.outcome
            row = DecisionRow(
                decision_id=one.decision_id,
                lead_id=one.lead_id,
                version=one.version,
                kind=one.kind,
                at=one.at,
                source=outcome.source if outcome else ADOPTED.source,
                event_id=outcome.event_id if outcome else ADOPTED.event_id,
                mode=one.mode,
                pool=one.pool,
                number=one.number,
                rule=None,
                rep=None,
                epoch=one.epoch,
                state=one.state,
                stage=one.stage,
                reason=one.reason,
                candidates=(),
                outcome=msgspec.to_builtins(outcome) if outcome else None,
            )
            yield row, one.config_version


def _other_rows(adopted: Adopted, version: str, now: datetime) -> Iterator[tuple[DecisionRow, str]]:
    """The numbers of published assignments, and those that nobody was told of."""
    for one, number in adopted.given:
        row = _numbered(Kind.ASSIGNED, one.pool, number, one.assigned_at)
        yield (
            replace(row, lead_id=one.lead_id, version=one.version, rule=one.rule, rep=one.rep.id, epoch=one.epoch),
            one.config_version,
        )
    for pool, number in adopted.lost:
        yield _numbered(Kind.LOST, pool, number, now), version


def _numbered(kind: Kind, pool: str, number: int, at: datetime) -> DecisionRow:
    return DecisionRow(
        decision_id=ids.decision_id(pool, number),
        lead_id=None,
        version=None,
        kind=kind,
        at=at,
        source=ADOPTED.source,
        event_id=ADOPTED.event_id,
        mode="live",
        pool=pool,
        number=number,
        rule=None,
        rep=None,
        epoch=None,
        state=None,
        stage=None,
        reason="adopted" if kind is Kind.ASSIGNED else None,
        candidates=(),
        outcome=None,
    )
