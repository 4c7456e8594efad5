"""How much gets through a bucket, whoever asks how often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.bucket import BURST_MIN, BURST_SECONDS, Bucket, burst_of
from services.ingest.domain.limits import BATCH_ITEMS_MAX

steps = st.lists(st.tuples(st.integers(1, BATCH_ITEMS_MAX), st.floats(0, 20, allow_nan=False)), max_size=200)


def test_a_burst_is_ten_seconds_and_at_least_one_full_request() -> None:
    assert burst_of(1000) == 1000 * BURST_SECONDS
    assert burst_of(1) == BURST_MIN == BATCH_ITEMS_MAX


@given(st.integers(1, 2000), steps)
def test_no_more_gets_through_than_the_rate_a_burst_and_one_request(rate: int, asked: list[tuple[int, float]]) -> None:
    bucket, now, taken = Bucket(rate, 0.0), 0.0, 0
    for items, pause in asked:
        now += pause
        if bucket.take(items, now) == 0:
            taken += items
    assert taken <= now * rate + burst_of(rate) + BATCH_ITEMS_MAX + 1


@given(st.integers(1, 2000), steps)
def test_whoever_waits_as_told_gets_through(rate: int, asked: list[tuple[int, float]]) -> None:
    bucket, now = Bucket(rate, 0.0), 0.0
    for items, pause in asked:
        now += pause
        if wait := bucket.take(items, now):
            now += wait + 0.001
            assert bucket.take(items, now) == 0


@given(st.integers(1, 2000), st.lists(st.floats(0, 0.5), max_size=50))
def test_a_refused_request_takes_nothing(rate: int, pauses: list[float]) -> None:
    patient, hasty, now = Bucket(rate, 0.0), Bucket(rate, 0.0), 0.0
    for bucket in (patient, hasty):
        bucket.take(burst_of(rate) + 1000, 0.0)
    for pause in pauses:
        now += pause
        hasty.take(1000, min(now, 999 / rate))
    end = 1001 / rate
    assert patient.take(1, end) == 0
    assert hasty.take(1, end) == 0
