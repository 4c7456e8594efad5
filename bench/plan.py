"""What is run, how often and in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ROUNDS = 3
STEAL_MAX = 0.05
"""Share of the machine's time that its host may take away during a run before the run is repeated."""

REPEATS_MAX = 2
"""How often one run is repeated; after that it is kept, and flagged."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is fed. Rates do not depend on it once a run lasts some seconds."""

    spine_events: int
    scoring_events: int
    assignment_events: int
    faust_events: int
    latency_seconds: float
    latency_warm_up_seconds: float
    intake_posts: int
    intake_batches: int
    posts_per_second: int = 200


FULL = Sizes(
    spine_events=120_000,
    scoring_events=60_000,
    assignment_events=40_000,
    faust_events=40_000,
    latency_seconds=20.0,
    latency_warm_up_seconds=5.0,
    intake_posts=8_000,
    intake_batches=100,
)
QUICK = Sizes(
    spine_events=30_000,
    scoring_events=15_000,
    assignment_events=10_000,
    faust_events=8_000,
    latency_seconds=6.0,
    latency_warm_up_seconds=3.0,
    intake_posts=2_000,
    intake_batches=30,
)
WARM_UP_EVENTS = 20_000
"""Fed to a broker and a Postgres that have just been started, before the first round."""


def in_turns(arms: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """(round, arm): each round in the opposite order of the one before, so that no arm always comes first."""
    for number in range(1, rounds + 1):
        for arm in arms if number % 2 else reversed(arms):
            yield number, arm


def to_repeat(steal: float | None, repeats: int) -> bool:
    """Whether a run with this share of stolen time is done again, after so many repeats."""
    return steal is not None and steal > STEAL_MAX and repeats < REPEATS_MAX
