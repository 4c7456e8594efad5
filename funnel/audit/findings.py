"""What an audit can find. No personal data is in any of it: leads and records are named by id and place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

Place = tuple[str, int, int]
"""Logical topic, partition, offset."""


class Kind(StrEnum):
    """Each is a value of the label `kind` of `funnel_unaccounted`, beside those of the ledger."""

    EFFECTS_LOST = "effects_lost"
    IDS_REUSED = "ids_reused"
    SCORES_AHEAD = "scores_ahead"
    SCORES_UNPUBLISHED = "scores_unpublished"
    LEADS_UNTAKEN = "leads_untaken"
    ASSIGNMENTS_UNKNOWN = "assignments_unknown"
    ASSIGNMENTS_DIFFER = "assignments_differ"
    ASSIGNMENTS_UNPUBLISHED = "assignments_unpublished"
    ASSIGNMENTS_DOUBLED = "assignments_doubled"
    ASSIGNMENTS_REPEATED = "assignments_repeated"


MEANINGS: Mapping[Kind, str] = {
    Kind.EFFECTS_LOST: "A service is past this record and has it neither in its inbox nor in quarantine.",
    Kind.IDS_REUSED: "An id was seen with two different bodies.",
    Kind.SCORES_AHEAD: "A score was published that scoring's table does not know.",
    Kind.SCORES_UNPUBLISHED: "A score in scoring's table is neither on the topic nor in the outbox.",
    Kind.LEADS_UNTAKEN: "Routing is past this score and does not know it of the lead.",
    Kind.ASSIGNMENTS_UNKNOWN: "An assignment was published that routing's table does not know.",
    Kind.ASSIGNMENTS_DIFFER: "An assignment was published otherwise than routing's table has it.",
    Kind.ASSIGNMENTS_UNPUBLISHED: "An assignment in routing's table is neither on the topic nor in the outbox.",
    Kind.ASSIGNMENTS_DOUBLED: "A lead has two active assignments, or two of one epoch.",
    Kind.ASSIGNMENTS_REPEATED: "An assignment record lies on the topic twice.",
}


@dataclass(frozen=True, slots=True)
class Publication:
    """Who publishes a fact of a table, and where."""

    service: str
    topic: str


PUBLICATIONS: Mapping[Kind, Publication] = {
    Kind.SCORES_UNPUBLISHED: Publication("scoring", "lead-scores"),
    Kind.ASSIGNMENTS_UNPUBLISHED: Publication("routing", "lead-assignments"),
}
"""Kinds that say something is not on a topic. It may still be on its way there: see `doubts`."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that does not fit, as of one look. (`kind`, `what`) identifies it.

    `place` or `lead_id` says what to look at again; with neither it never changes.
    """

    kind: Kind
    what: str
    place: Place | None = None
    lead_id: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> tuple[Kind, str]:
        return self.kind, self.what


@dataclass(frozen=True, slots=True)
class Finding:
    """A doubt that stood, as it is kept."""

    id: int
    doubt: Doubt
    first_seen: datetime
    last_seen: datetime
    gone_at: datetime | None = None
    accepted_at: datetime | None = None
    note: str | None = None


def place_name(place: Place) -> str:
    """`lead-events/3/1234`."""
    topic, partition, offset = place
    return f"{topic}/{partition}/{offset}"
