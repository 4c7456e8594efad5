"""What ingest called stored, held against the log: a loss shows, and order or chance never look like one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from funnel.contracts import IngestReceipt
from funnel.ledger import PartitionRead, RecordAccount, SpoolRead, account_of
from services.metrics.domain.receipts import Answered, answered_by
from tests.unit.metrics.records import receipt

PARTITIONS = (0, 1)


@dataclass
class Log:
    """A partition: where it begins and ends, the offsets of its control records, and how far its reader is."""

    begin: int = 0
    end: int = 0
    markers: set[int] = field(default_factory=set)
    read: PartitionRead = field(default_factory=lambda: PartitionRead(0, 0, 0))


class AnsweringWhileSomebodyReads(RuleBasedStateMachine):
    """Ingest stores, spools, drains and tells, scoring reads, retention forgets, the ledger looks: nothing alarms."""

    def __init__(self) -> None:
        super().__init__()
        self.logs = {partition: Log(read=PartitionRead(partition, 0, 0)) for partition in PARTITIONS}
        self.stored = self.told = 0
        self.spool = self.published = 0
        self.noted: tuple[int, list[PartitionRead]] | None = None
        self.noted_spool: SpoolRead | None = None

    @rule(partition=st.sampled_from(PARTITIONS), count=st.integers(1, 4), answered=st.booleans())
    def store(self, partition: int, count: int, answered: bool) -> None:
        """Without an answer: the sender heard nothing and will send it again."""
        self.logs[partition].end += count
        self.stored += count if answered else 0

    @rule(count=st.integers(1, 4))
    def spool_some(self, count: int) -> None:
        """Kafka is away: answered all the same."""
        self.spool += count
        self.stored += count

    @precondition(lambda self: self.published < self.spool)
    @rule(partition=st.sampled_from(PARTITIONS), data=st.data())
    def publish_from_the_spool(self, partition: int, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, self.spool - self.published))
        self.logs[partition].end += count
        self.published += count

    @rule()
    def take_out_what_is_published(self) -> None:
        self.spool -= self.published
        self.published = 0

    @rule()
    def a_drain_is_killed_before_it_took_anything_out(self) -> None:
        """What it published is published again."""
        self.published = 0

    @rule(partition=st.sampled_from(PARTITIONS))
    def a_transaction_ends(self, partition: int) -> None:
        log = self.logs[partition]
        log.markers.add(log.end)
        log.end += 1

    @rule()
    def tell(self) -> None:
        """A receipt arrives at metrics; it is sent after what it tells of."""
        self.told = self.stored

    @rule(partition=st.sampled_from(PARTITIONS), data=st.data())
    def read_some(self, partition: int, data: st.DataObject) -> None:
        log = self.logs[partition]
        to = data.draw(st.integers(log.read.next, log.end))
        holes = sum(log.read.next <= marker < to for marker in log.markers)
        applied = to - log.read.next - holes
        log.read = replace(log.read, next=to, applied=log.read.applied + applied, holes=log.read.holes + holes)

    @rule(partition=st.sampled_from(PARTITIONS), data=st.data())
    def a_person_skips(self, partition: int, data: st.DataObject) -> None:
        log = self.logs[partition]
        to = data.draw(st.integers(log.read.next, log.end))
        log.read = replace(log.read, next=to, skipped=log.read.skipped + to - log.read.next)

    @precondition(lambda self: self.noted is None)
    @rule(partition=st.sampled_from(PARTITIONS), data=st.data())
    def retention_forgets_what_was_read(self, partition: int, data: st.DataObject) -> None:
        """Days after it was read, so never between the two questions of the ledger."""
        log = self.logs[partition]
        log.begin = data.draw(st.integers(log.begin, max(log.begin, log.read.next)))

    @rule()
    def the_ledger_asks_postgres(self) -> None:
        self.noted, self.noted_spool = (self.told, [log.read for log in self.logs.values()]), None

    @precondition(lambda self: self.noted is not None)
    @rule()
    def the_ledger_asks_the_spool(self) -> None:
        self.noted_spool = SpoolRead(self.spool, self.spool)

    @precondition(lambda self: self.noted_spool is not None)
    @rule()
    def the_ledger_asks_the_log(self) -> None:
        """Whatever happened since it asked Postgres."""
        assert self.noted is not None
        assert self.noted_spool is not None
        (answered, reads), self.noted = self.noted, None
        spool, self.noted_spool = self.noted_spool, None
        bounds = {partition: (log.begin, log.end) for partition, log in self.logs.items()}
        account = account_of(reads, bounds, answered, spool)
        assert (account.answered, account.spooled) == (answered, spool.holds)
        assert (account.missing, account.unaccounted) == (0, 0)

    @invariant()
    def ingest_never_tells_too_much(self) -> None:
        assert self.told <= self.stored <= self.spool + sum(log.end for log in self.logs.values())


TestAnsweringWhileSomebodyReads = AnsweringWhileSomebodyReads.TestCase


@given(read_to=st.integers(0, 20), unread=st.integers(0, 20), data=st.data())
def test_records_the_log_lost_from_its_end_are_unaccounted_once_each(
    read_to: int, unread: int, data: st.DataObject
) -> None:
    end = read_to + unread
    lost = data.draw(st.integers(0, end))
    account = account_of([PartitionRead(0, 0, read_to, applied=read_to)], {0: (0, end - lost)}, answered=end)
    assert account.unaccounted == lost
    assert account.missing == min(lost, unread)  # the reader is witness of the others


@given(read_to=st.integers(0, 20), gone=st.integers(0, 20), left=st.integers(0, 20))
def test_records_that_expired_unread_are_unaccounted_once_each(read_to: int, gone: int, left: int) -> None:
    begin, end = read_to + gone, read_to + gone + left
    account = account_of([PartitionRead(0, 0, read_to, applied=read_to)], {0: (begin, end)}, answered=end)
    assert (account.unaccounted, account.missing) == (gone, 0)


def test_records_that_expired_before_anybody_read_at_all_are_missing() -> None:
    assert account_of([], {0: (5, 25)}, answered=25).missing == 5
    assert account_of([PartitionRead(0, first=5, next=25, applied=20)], {0: (5, 25)}, answered=25).missing == 5


def test_a_record_that_vanished_from_the_middle_of_the_log_is_missing() -> None:
    passed_as_hole = PartitionRead(0, 0, 10, applied=9, holes=1)
    account = account_of([passed_as_hole], {0: (0, 10)}, answered=10)
    assert (account.missing, account.unaccounted) == (1, 1)


def test_the_shortfall_comes_on_top_of_what_the_reader_missed() -> None:
    passed_uncounted = PartitionRead(0, 0, 10, applied=8)
    account = account_of([passed_uncounted], {0: (0, 10)}, answered=13)
    assert account == RecordAccount(accepted=10, answered=13, applied=8, missing=3, unaccounted=5)


def test_a_surplus_hides_a_shortfall_and_is_no_alarm_itself() -> None:
    """Known and told in the README: repeats and foreign writers fill the log with more than was answered."""
    assert account_of([], {0: (0, 12)}, answered=10).unaccounted == 0


def test_what_waits_in_the_spool_is_not_missing() -> None:
    account = account_of([], {0: (0, 7)}, answered=10, spool=SpoolRead(should_hold=3, holds=3))
    assert account == RecordAccount(accepted=7, answered=10, spooled=3, in_flight=7)


@given(
    direct=st.integers(0, 20), drained=st.integers(0, 20), waiting=st.integers(0, 20), taken=st.integers(0, 20),
    told=st.booleans(),
)  # fmt: skip
def test_rows_taken_out_of_the_spool_unpublished_are_missing_once_each_whether_ingest_has_told_of_them_or_not(
    direct: int, drained: int, waiting: int, taken: int, told: bool
) -> None:
    spool = SpoolRead(should_hold=waiting + taken, holds=waiting)
    end = direct + drained
    account = account_of([], {0: (0, end)}, answered=end + waiting + taken if told else 0, spool=spool)
    assert (account.spooled, account.missing, account.unaccounted) == (waiting, taken, taken)


def test_what_was_taken_out_is_missing_though_the_log_holds_more_than_was_answered() -> None:
    """The spool vouches for itself: repeats in the log hide nothing that it lacks."""
    account = account_of([], {0: (0, 100)}, answered=10, spool=SpoolRead(should_hold=3, holds=1))
    assert account.missing == 2


def test_without_a_receipt_there_is_nothing_to_compare() -> None:
    assert account_of([], {0: (0, 12)}).missing == 0


def test_receipts_add_up_per_process_in_the_order_of_the_keys() -> None:
    totals = answered_by(
        [
            receipt(1, process="b", events=2),
            receipt(7, process="a", events=1, outcomes=1),
            receipt(2, process="b", events=3, outcomes=4),
        ]
    )
    assert list(totals.items()) == [("a", Answered(1, 1)), ("b", Answered(5, 4))]


@pytest.mark.parametrize("receipts", [[], [receipt()]])
def test_no_answers_add_up_to_nothing(receipts: list[IngestReceipt]) -> None:
    assert sum(one.events + one.outcomes for one in answered_by(receipts).values()) == 0
