"""Rounds of deaths, and the round in which nobody dies but every point is visited."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaos.checker import Verdict, check, collect
from chaos.errors import RowFailed
from chaos.failpoints.drives import AIMS, Aim, Done, Drive, drive_of, leave_rows, stall_relays, take_kafka_away
from chaos.failpoints.stage import Stage, stage
from chaos.history import History
from funnel.failpoints import COMMAND_LINE, VISITS

ROW: Final = "failpoints"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one aim. `seconds` from the death until the service was ready; `trouble` empty when all was well."""

    aim: Aim
    seconds: float
    trouble: str = ""


async def run(folder: Path, report: Callable[[str], None], aims: Sequence[Aim] = AIMS) -> tuple[list[Result], Verdict]:
    """A stack of its own, a death at each of `aims`, and the verdict on the whole history, which is in `folder`.

    A round that fails is in the results with its trouble, and is the last: what comes after it would prove nothing.
    Raises ChaosError when the stack does not come up.
    """
    async with stage(History(folder)) as made:
        results = await kill_at(made, aims, report)
        return results, await verdict(made)


async def verdict(made: Stage) -> Verdict:
    """What the checker says of everything that happened on the stage so far."""
    known, history = made.known(), made.history
    history.keep("run", {"row": ROW})
    history.close()
    arguments = (history.folder, known.kafka_bootstrap, known.postgres_dsn, "", made.url("metrics"))
    await asyncio.to_thread(collect, *arguments)
    return await asyncio.to_thread(check, history.folder)


async def kill_at(made: Stage, aims: Sequence[Aim], report: Callable[[str], None]) -> list[Result]:
    """A death at each of `aims`; after each round the stack recovers and comes to rest with nothing unaccounted."""
    results: list[Result] = []
    for drive, together in rounds(aims):
        try:
            done = await _round(made, drive, together)
        except RowFailed as failed:
            report(f"{_named(together)}: {failed}")
            return [*results, *(Result(aim, 0.0, str(failed)) for aim in together)]
        results += done
        report(f"{_named(together)}: ready again after {max(result.seconds for result in done):.1f} s")
    return results


def rounds(aims: Sequence[Aim]) -> Iterator[tuple[Drive, list[Aim]]]:
    """Aims that are reached in the same way, at most one of each service and one of each point together."""
    left = list(aims)
    while left:
        drive = drive_of(left[0])
        together: list[Aim] = []
        for aim in left:
            apart = all(aim.service != other.service and aim.point != other.point for other in together)
            if apart and drive_of(aim) is drive:
                together.append(aim)
        left = [aim for aim in left if aim not in together]
        yield drive, together


async def visit_all(made: Stage) -> list[Aim]:
    """Reach every point without a death; returns those that were not reached."""
    (made.orders / VISITS).mkdir()
    unkind: dict[Drive, Drive] = {leave_rows: stall_relays, take_kafka_away: stall_relays}
    ways: dict[Drive, list[Aim]] = {}
    for aim in AIMS:
        drive = drive_of(aim)
        ways.setdefault(unkind.get(drive, drive), []).append(aim)

    def missing(aims: Sequence[Aim] = AIMS) -> list[Aim]:
        visited = made.visited()
        return [aim for aim in aims if aim not in visited]

    def all_of(aims: Sequence[Aim]) -> Done:
        return lambda: not missing(aims)

    try:
        async with made.load.running():
            for drive, aims in ways.items():
                if missing(aims):
                    await drive(made, aims, all_of(aims))
                    await made.until_ready()
    except RowFailed:
        if not missing():
            raise
    return missing()


async def _round(made: Stage, drive: Drive, aims: Sequence[Aim]) -> list[Result]:
    hit: dict[Aim, float] = {}

    def done() -> bool:
        for aim in aims:
            pid = made.hit(aim.point)
            if aim not in hit and pid is not None and not _lives(pid):
                hit[aim] = time.monotonic()
        return len(hit) == len(aims)

    async with made.load.running():
        for aim in aims:
            made.arm(aim.point, "kill", aim.service)
            made.history.fault(ROW, "inject", f"kill at {aim.point}", aim.service)
        await drive(made, aims, done)
        results = []
        for aim in aims:
            if aim.service != COMMAND_LINE:
                await made.until_service(aim.service)
            results.append(Result(aim, time.monotonic() - hit[aim]))
            made.history.fault(ROW, "heal", f"kill at {aim.point}", aim.service)
    await made.at_rest()
    return results


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _named(aims: Sequence[Aim]) -> str:
    return ", ".join(f"{aim.point} ({aim.service})" for aim in aims)
