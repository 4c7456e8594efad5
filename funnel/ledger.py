"""The conservation account: every record and every lead is in one place, or it is unaccounted.

Pure arithmetic. Whoever calls it reads the position rows and the receipts first, then the spool, then the log's end
offsets, so that a record applied, called stored or drained in between is at most counted twice on the side of what is
there, and never as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

Bounds = Mapping[int, tuple[int, int]]
"""Per partition of one topic: the first offset still in the log, and the offset after the last record."""


class LeadState(StrEnum):
    """Where a lead can be. A lead is in exactly one of these."""

    NURTURING = "nurturing"
    PENDING = "pending"
    ASSIGNED = "assigned"
    HELD = "held"
    MERGED = "merged"
    SUPPRESSED = "suppressed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class PartitionRead:
    """How far one service has read one partition. The counters moved together with `next`, in one row.

    `first` is the offset it began at. Offsets in [first, next) are applied, duplicates, quarantined, `holes` (they
    hold no record: control records) or `skipped` (given up by a person with `funnel position skip`).
    """

    partition: int
    first: int
    next: int
    applied: int = 0
    duplicates: int = 0
    quarantined: int = 0
    holes: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class SpoolRead:
    """The spool of one topic: rows it `should_hold` (put in minus drained, by its own account), rows it `holds`."""

    should_hold: int = 0
    holds: int = 0


@dataclass(frozen=True, slots=True)
class RecordAccount:
    """`accepted = applied + duplicates + quarantined + in_flight`, or the difference is unaccounted.

    `accepted` counts records of the log, repeats included; records a person gave up stand apart in `skipped`, and
    records that wait in the spool for Kafka in `spooled`. `answered` is what the second witness knows of: records that
    ingest called stored. `missing` of them are neither in the spool nor were they ever in the log, or were taken out
    of the spool without being published; they are unaccounted too.
    """

    accepted: int = 0
    answered: int = 0
    spooled: int = 0
    applied: int = 0
    duplicates: int = 0
    quarantined: int = 0
    in_flight: int = 0
    skipped: int = 0
    missing: int = 0
    unaccounted: int = 0

    def __add__(self, other: RecordAccount) -> RecordAccount:
        return RecordAccount(
            self.accepted + other.accepted,
            self.answered + other.answered,
            self.spooled + other.spooled,
            self.applied + other.applied,
            self.duplicates + other.duplicates,
            self.quarantined + other.quarantined,
            self.in_flight + other.in_flight,
            self.skipped + other.skipped,
            self.missing + other.missing,
            self.unaccounted + other.unaccounted,
        )


@dataclass(frozen=True, slots=True)
class LeadAccount:
    """How many leads are in each state. `unaccounted`: in none or two of them, or pending for too long."""

    total: int = 0
    nurturing: int = 0
    pending: int = 0
    assigned: int = 0
    held: int = 0
    merged: int = 0
    suppressed: int = 0
    closed: int = 0
    unaccounted: int = 0

    def by_state(self) -> dict[str, int]:
        """How many leads are in each state."""
        return {state.value: getattr(self, state.value) for state in LeadState}


@dataclass(frozen=True, slots=True)
class AssignmentAccount:
    """`active` assignments now; assignment records `published` so far, and `unpublished` ones still to send.

    `unaccounted` counts records of the assignment topic that were read and are in no counter.
    """

    active: int = 0
    published: int = 0
    unpublished: int = 0
    unaccounted: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """The account of a whole deployment."""

    events: RecordAccount
    outcomes: RecordAccount
    leads: LeadAccount
    assignments: AssignmentAccount

    def unaccounted(self) -> dict[str, int]:
        """What is missing, per kind. Everything is 0 unless something was lost.

        `events_answered` and `outcomes_answered` are what the second witness adds to `events` and `outcomes`: part of
        them, so the kinds do not add up to a total.
        """
        return {
            "events": self.events.unaccounted,
            "events_answered": self.events.missing,
            "outcomes": self.outcomes.unaccounted,
            "outcomes_answered": self.outcomes.missing,
            "leads": self.leads.unaccounted,
            "assignments": self.assignments.unaccounted,
        }

    def as_json(self) -> dict[str, Any]:
        """The object printed by `funnel ledger --json` and answered by `GET /v1/ledger`."""
        return asdict(self)


_EMPTY = SpoolRead()


def account_of(
    reads: Iterable[PartitionRead], bounds: Bounds, answered: int = 0, spool: SpoolRead = _EMPTY
) -> RecordAccount:
    """The account of one topic, as its reading service witnesses it, and as ingest does: `answered` records.

    Differences are summed partition by partition without their sign: a record too many in one partition must not
    hide a record lost in another. Ingest does not tell partitions, so its number is held against all of them, and
    against what the spool should hold; what the spool lacks is missing on its own, whatever ingest has told yet.
    """
    by_partition = {read.partition: read for read in reads}
    account, held = RecordAccount(), 0
    for partition in sorted(by_partition.keys() | bounds.keys()):
        begin, end = bounds.get(partition, (0, 0))
        # A partition nobody has claimed yet will be read from the log's start.
        read = by_partition.get(partition, PartitionRead(partition, first=begin, next=begin))
        account += _partition_account(read, begin, end)
        held += _ever_held(read, end)
    taken = max(0, spool.should_hold - spool.holds)
    missing = max(0, answered - held - spool.should_hold) + taken
    return replace(
        account,
        answered=answered,
        spooled=spool.holds,
        missing=missing,
        unaccounted=account.unaccounted + missing,
    )


def _partition_account(read: PartitionRead, begin: int, end: int) -> RecordAccount:
    counted = read.applied + read.duplicates + read.quarantined
    passed = read.next - read.first - read.holes - read.skipped
    in_flight = max(0, end - max(read.next, begin))
    expired = max(0, min(begin, end) - read.next)  # retention took them before they were read
    vanished = max(0, read.next - end)  # read once, but the log ends before them: truncated or made anew
    return RecordAccount(
        accepted=max(0, passed - vanished) + expired + in_flight,
        applied=read.applied,
        duplicates=read.duplicates,
        quarantined=read.quarantined,
        in_flight=in_flight,
        skipped=read.skipped,
        unaccounted=abs(passed - counted) + expired + vanished,
    )


def _ever_held(read: PartitionRead, end: int) -> int:
    """Records the log held at some time since `first`, those given up, expired or vanished by now included.

    At most too many: offsets not read yet may hold no record, and so may skipped ones.
    """
    return max(read.next, end) - read.first - read.holes
