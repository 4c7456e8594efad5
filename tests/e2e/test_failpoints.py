"""Processes die at failpoints under load and nothing is lost or doubled; and there is no point that nobody gets to.

Here a few points, drawn anew each time. All of them: `python -m chaos --only failpoints`.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chaos.failpoints import AIMS, Aim, Stage, kill_at, stage, verdict, visit_all
from chaos.failpoints.drives import drive_of, take_kafka_away
from chaos.history import History

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEATHS = 6


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """One stack for both tests: what happens in one must not spoil the other."""
    folder: Path = tmp_path_factory.mktemp("failpoints")
    async with stage(History(folder / "history")) as running:
        yield running


def drawn(chance: random.Random) -> list[Aim]:
    """Some points; of those of the spool one at most: what a dead process has claimed waits for half a minute."""
    aims = chance.sample(AIMS, len(AIMS))
    slow = [aim for aim in aims if drive_of(aim) is take_kafka_away]
    return [aim for aim in aims if aim not in slow[1:]][:DEATHS]


async def test_services_that_die_at_failpoints_lose_and_double_nothing(made: Stage) -> None:
    seed = int(os.environ.get("FUNNEL_TEST_SEED", secrets.randbits(32)))
    print(f"FUNNEL_TEST_SEED={seed}")  # noqa: T201 - shown by pytest when the test fails
    aims = drawn(random.Random(seed))
    results = await kill_at(made, aims, print)
    assert [result for result in results if result.trouble] == []
    assert {result.aim for result in results} == set(aims)
    assert (await verdict(made)).violations == []


async def test_every_failpoint_is_reached_in_every_service_that_can_get_there(made: Stage) -> None:
    assert await visit_all(made) == []
    await made.at_rest()
    assert (await verdict(made)).violations == []
