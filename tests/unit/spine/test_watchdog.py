"""The watchdog: lag without progress for a minute ends the process, so that the supervisor starts it afresh."""

from __future__ import annotations

import pytest

from funnel.spine.chunks import Cursor
from funnel.spine.leases import LeaseKeeper
from funnel.spine.observer import STALL_SECONDS_MAX, Observer, Stalled
from tests.support.toy import Toy

PLACE = ("in", 0)


def observer() -> Observer:
    return Observer(Toy(), LeaseKeeper.__new__(LeaseKeeper), dict, lambda: pytest.fail("no client is needed here"))


def look(watching: Observer, position: int, end: int, at: float, waiting: str | None = None) -> None:
    watching._watch({PLACE: Cursor(epoch=1, next=position, waiting=waiting)}, {PLACE: (0, end)}, at)


def test_lag_without_progress_is_a_stall() -> None:
    watching = observer()
    look(watching, 5, 9, at=0)
    look(watching, 5, 20, at=STALL_SECONDS_MAX)
    with pytest.raises(Stalled, match="got none for 60 s"):
        look(watching, 5, 20, at=STALL_SECONDS_MAX + 1)


def test_any_progress_starts_the_minute_anew() -> None:
    watching = observer()
    look(watching, 5, 9, at=0)
    look(watching, 6, 9, at=STALL_SECONDS_MAX)
    look(watching, 6, 9, at=2 * STALL_SECONDS_MAX)


@pytest.mark.parametrize(("position", "waiting"), [(9, None), (5, "an upgrade is awaited")])
def test_without_lag_or_while_paused_there_is_nothing_to_progress_with(position: int, waiting: str | None) -> None:
    watching = observer()
    look(watching, position, 9, at=0, waiting=waiting)
    look(watching, position, 9, at=10 * STALL_SECONDS_MAX, waiting=waiting)
