"""What scoring does about records of lead-scores that its tables do not know: see `funnel.spine.reconcile`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from funnel.contracts import LeadScore
from funnel.contracts.registry import decoder
from funnel.envelope import header
from funnel.postgres import Transaction
from funnel.spine import Decoder, Message
from funnel.spine.reconcile import Adoption, Published
from services.scoring import store
from services.scoring.domain import adoption
from services.scoring.domain.decide import TOPIC
from services.scoring.handlers import TOPIC as EVENTS


class ScoringAdopter:
    """Knows a record by its lead and version, which are its id."""

    topics: Sequence[str] = (TOPIC,)
    decoders: Mapping[str, Decoder] = {EVENTS: decoder(EVENTS)}

    async def unknown(self, tx: Transaction, published: Sequence[Published]) -> list[Published]:
        named = [(one, *_name(one)) for one in published]
        versions = await store.known_versions(tx, sorted({lead_id for _, lead_id, _ in named}))
        return [one for one, lead_id, version in named if version > versions.get(lead_id, 0)]

    async def adopt(self, tx: Transaction, published: Sequence[Published], inputs: Sequence[Message[Any]]) -> Adoption:
        read = decoder(TOPIC)
        records: list[LeadScore] = [
            read(one.record.value or b"", header(one.record.headers, "ce_dataschema")) for one in published
        ]
        leads = await store.load_leads(tx, sorted({record.lead_id for record in records}))
        adopted = adoption.adopt(records, leads)
        await store.save_adopted(tx, adopted, datetime.now(UTC))
        return Adoption({"scores": len(published), "leads": len(adopted.before)})


def _name(one: Published) -> tuple[str, int]:
    lead_id, _, version = one.ce_id.rpartition(":")
    return lead_id, int(version)
