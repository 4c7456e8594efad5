"""What ingest says it called stored: the second witness of the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from funnel.contracts import IngestReceipt


@dataclass(frozen=True, slots=True)
class Answered:
    """Records of `lead-events` and of `lead-outcomes` that were answered with 202."""

    events: int = 0
    outcomes: int = 0


def answered_by(receipts: Iterable[IngestReceipt]) -> dict[str, Answered]:
    """What the receipts add up to per ingest process, in the order of the ids of the processes."""
    totals: dict[str, Answered] = {}
    for receipt in receipts:
        before = totals.get(receipt.process, Answered())
        totals[receipt.process] = Answered(before.events + receipt.events, before.outcomes + receipt.outcomes)
    return dict(sorted(totals.items()))
