"""The ledger's arithmetic, against a log that is written and read step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from funnel.ledger import (
    AssignmentAccount,
    LeadAccount,
    LeadState,
    Ledger,
    PartitionRead,
    RecordAccount,
    account_of,
)


@dataclass
class Partition:
    """A partition and its reader; `markers` are offsets of control records."""

    begin: int
    end: int
    read: PartitionRead
    markers: set[int]
    accepted: int = 0


class ReadingALog(RuleBasedStateMachine):
    """Whatever is written, read, found twice, quarantined or skipped: the account balances."""

    def __init__(self) -> None:
        super().__init__()
        self.partition = Partition(0, 0, PartitionRead(0, 0, 0), set())

    @initialize(begin=st.integers(0, 1000))
    def start_at_the_log_start(self, begin: int) -> None:
        self.partition = Partition(begin, begin, PartitionRead(0, first=begin, next=begin), set())

    @rule(count=st.integers(1, 5))
    def write(self, count: int) -> None:
        self.partition.end += count
        self.partition.accepted += count

    @rule(count=st.integers(1, 4), what=st.sampled_from(["applied", "duplicates", "quarantined"]))
    def read_some(self, count: int, what: str) -> None:
        """Markers met on the way are counted with the record behind them, as the spine does."""
        p, holes, records = self.partition, 0, 0
        offset = p.read.next
        while records < count and offset < p.end:
            if offset in p.markers:
                holes += 1
            else:
                records += 1
                reached = offset + 1
            offset += 1
        if records:
            counted = getattr(p.read, what) + records
            holes = sum(1 for marker in p.markers if p.read.next <= marker < reached)
            p.read = replace(p.read, next=reached, holes=p.read.holes + holes, **{what: counted})

    @precondition(lambda self: self.partition.end > self.partition.read.next)
    @rule(data=st.data())
    def a_person_skips(self, data: st.DataObject) -> None:
        p = self.partition
        to = data.draw(st.integers(p.read.next + 1, p.end))
        skipped = to - p.read.next
        markers = sum(1 for marker in p.markers if p.read.next <= marker < to)
        p.read = replace(p.read, next=to, skipped=p.read.skipped + skipped)
        p.accepted -= skipped - markers

    @rule()
    def a_transaction_ends_and_another_record_follows(self) -> None:
        p = self.partition
        p.markers.add(p.end)
        p.end += 2
        p.accepted += 1

    @invariant()
    def balances(self) -> None:
        p = self.partition
        account = account_of([p.read], {0: (p.begin, p.end)})
        unread_markers = sum(1 for marker in p.markers if marker >= p.read.next)
        assert account.unaccounted == 0
        assert account.accepted - unread_markers == p.accepted
        assert account.accepted == account.applied + account.duplicates + account.quarantined + account.in_flight


TestReadingALog = ReadingALog.TestCase


reads = st.builds(
    lambda first, applied, duplicates, quarantined, holes, skipped: PartitionRead(
        0,
        first,
        first + applied + duplicates + quarantined + holes + skipped,
        applied,
        duplicates,
        quarantined,
        holes,
        skipped,
    ),
    *[st.integers(0, 50)] * 6,
)


@given(read=reads, unread=st.integers(0, 20), lost=st.integers(1, 20))
def test_records_passed_but_not_counted_are_unaccounted(read: PartitionRead, unread: int, lost: int) -> None:
    moved = replace(read, next=read.next + lost)
    assert account_of([moved], {0: (0, moved.next + unread)}).unaccounted == lost


@given(read=reads, unread=st.integers(0, 20), extra=st.integers(1, 20))
def test_records_counted_twice_are_unaccounted(read: PartitionRead, unread: int, extra: int) -> None:
    counted = replace(read, applied=read.applied + extra)
    assert account_of([counted], {0: (0, read.next + unread)}).unaccounted == extra


@given(read=reads, gone=st.integers(1, 20), left=st.integers(0, 20))
def test_records_expired_before_they_were_read_are_unaccounted(read: PartitionRead, gone: int, left: int) -> None:
    begin = read.next + gone
    account = account_of([read], {0: (begin, begin + left)})
    assert account.unaccounted == gone
    assert account.in_flight == left


@given(read=reads, data=st.data())
def test_a_log_that_ends_before_what_was_read_is_unaccounted(read: PartitionRead, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, read.next))
    assert account_of([read], {0: (0, end)}).unaccounted == read.next - end


def test_a_loss_in_one_partition_is_not_hidden_by_a_surplus_in_another() -> None:
    lost = PartitionRead(0, first=0, next=10, applied=9)
    surplus = PartitionRead(1, first=0, next=10, applied=11)
    assert account_of([lost, surplus], {0: (0, 10), 1: (0, 10)}).unaccounted == 2


def test_a_partition_nobody_has_claimed_is_in_flight_from_the_log_start() -> None:
    account = account_of([], {0: (5, 25)})
    assert account == RecordAccount(accepted=20, in_flight=20)


def test_a_deleted_topic_leaves_its_records_unaccounted() -> None:
    assert account_of([PartitionRead(0, 0, 10, applied=10)], {}).unaccounted == 10


def test_the_json_has_the_published_names() -> None:
    ledger = Ledger(RecordAccount(), RecordAccount(), LeadAccount(), AssignmentAccount())
    printed = ledger.as_json()
    promised = {"accepted", "answered", "duplicates", "applied", "quarantined", "in_flight", "unaccounted"}
    assert promised <= printed["events"].keys()
    assert printed["outcomes"].keys() == printed["events"].keys()
    assert printed["leads"].keys() == {"total", "unaccounted", *LeadState}
    assert {"active", "published", "unpublished"} <= printed["assignments"].keys()


@pytest.mark.parametrize(
    ("part", "name", "kind"),
    [
        *((part, "unaccounted", part) for part in ("events", "outcomes", "leads", "assignments")),
        *((part, "missing", f"{part}_answered") for part in ("events", "outcomes")),
    ],
)
def test_what_is_missing_is_told_per_kind(part: str, name: str, kind: str) -> None:
    empty = Ledger(RecordAccount(), RecordAccount(), LeadAccount(), AssignmentAccount())
    broken = replace(empty, **{part: replace(getattr(empty, part), **{name: 3})})
    kinds = ("events", "events_answered", "outcomes", "outcomes_answered", "leads", "assignments")
    assert broken.unaccounted() == dict.fromkeys(kinds, 0) | {kind: 3}
