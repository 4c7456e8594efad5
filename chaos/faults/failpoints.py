"""A death at every point between two durable effects, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from chaos.checker import Verdict
from chaos.failpoints import AIMS, run
from chaos.faults import alone
from chaos.profile import Profile, Size

_SMOKE: Final = 6
"""So many points are enough to see that the row works."""


@alone(2, "kill -9 at every point between reading a record and having it published", part="a")
async def every_failpoint(
    folder: Path, profile: Profile, seed: int, say: Callable[[str], None]
) -> tuple[Verdict, int, str]:
    """Each service that reaches a point of `funnel/failpoints.py` dies there while load runs, is started again, and
    comes to rest with nothing unaccounted; the same for ingest and for operators' commands. One stack for all of it,
    with one broker; the checker judges the whole."""
    aims = Random(seed).sample(AIMS, _SMOKE) if profile.size is Size.SMOKE else AIMS
    results, verdict = await run(folder, say, aims)
    troubles = [f"{one.aim.point} in {one.aim.service}: {one.trouble}" for one in results if one.trouble]
    if not troubles and len(results) != len(aims):
        troubles = [f"{len(results)} of {len(aims)} points were tried"]
    return verdict, sum(not one.trouble for one in results), "; ".join(troubles)
