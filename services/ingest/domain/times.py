"""When something happened by our clock, from what a clock that may be wrong says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from services.ingest.domain import limits

_NO_TIME: Final = timedelta()
_WITH_MICROSECONDS: Final = len('"2026-11-22T09:00:00.000000Z"')
_encode = msgspec.json.Encoder().encode


def by_our_clock(claimed: datetime, sent_at: datetime | None, received_at: datetime) -> datetime:
    """When that happened which its sender's clock put at `claimed`, and sent at `sent_at`.

    Between happening and sending the same time passed on every clock, and it was received when it was sent; so a clock
    that is wrong does no harm. Never in the future, never before `limits.EARLIEST`. All times are in UTC.
    """
    if sent_at is None:
        return min(claimed, received_at)
    passed = max(sent_at - claimed, _NO_TIME)
    return received_at - min(passed, received_at - limits.EARLIEST)


def written(at: datetime) -> bytes:
    """`at` as `funnel.envelope.format_time` writes it: RFC 3339 in UTC with microseconds and `Z`, in ASCII."""
    quoted = _encode(at if at.tzinfo is UTC else at.astimezone(UTC))
    return quoted[1:-1] if len(quoted) == _WITH_MICROSECONDS else quoted[1:-2] + b".000000Z"
