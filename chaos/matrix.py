"""All rows, one after the other, on one ground; each result is kept at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import psycopg
from confluent_kafka import KafkaException

from chaos.checker import BadHistory, Verdict, check
from chaos.errors import NotPossible, RowFailed
from chaos.faults import Row
from chaos.ground import Ground, ground
from chaos.history import History
from chaos.profile import Profile
from chaos.report import Ending, Report, Result
from chaos.run import perform
from funnel.errors import FunnelError

_AROUND_SECONDS: Final = 900.0
"""What a row takes beside its fault, at most: starting, draining, collecting, checking."""

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Matrix:
    """`folder` is for everything that is written meanwhile; histories stay in it, by row."""

    rows: Sequence[Row]
    profile: Profile
    seed: int
    folder: Path
    report: Report
    say: Callable[[str], None]

    def run(self) -> bool:
        """Run them all; whether everything was as promised. Raises ChaosError or StackError without a ground."""
        ran: list[Result] = []
        possible = [row for row in self.rows if row.fault is not None]
        for row in self.rows:
            if row.reason:
                self._keep(self._result(row, Ending.NOT_RUN, why=row.reason))
            elif row.program is not None:
                ran.append(asyncio.run(self._run_alone(row)))
                self._keep(ran[-1])
        if possible:
            with ground(self.folder / "servers", self.say) as made:
                ran += asyncio.run(self._run_on(made, possible))
        return all(result.good for result in ran)

    async def _run_on(self, made: Ground, rows: Sequence[Row]) -> list[Result]:
        results = []
        try:
            for row in rows:
                self.say(f"--- row {row.key}: {row.title} (seed {self.seed})")
                await asyncio.to_thread(made.renew)
                started = time.monotonic()
                result = await self._run_row(made, row)
                results.append(replace(result, seconds=round(time.monotonic() - started, 1)))
                self._keep(results[-1])
        finally:
            made.brokers.abandon()  # else Ctrl-C would wait for a thread that waits for a broker
        return results

    async def _run_alone(self, row: Row) -> Result:
        assert row.program is not None
        self.say(f"--- row {row.key}: {row.title} (seed {self.seed})")
        started = time.monotonic()
        try:
            verdict, kills, why = await row.program(
                self.folder / "rows" / row.key / "history", self.profile, self.seed, self.say
            )
        except (FunnelError, OSError, psycopg.Error, KafkaException) as error:
            return self._result(row, Ending.FAILED, why=f"{type(error).__name__}: {error}")
        ending = Ending.FAILED if why else Ending.HELD if verdict.ok else Ending.VIOLATED
        result = self._result(row, ending, why=why, verdict=verdict)
        return replace(result, faults=kills, kills=kills, seconds=round(time.monotonic() - started, 1))

    async def _run_row(self, made: Ground, row: Row) -> Result:
        folder = self.folder / "rows" / row.key
        history = History(folder / "history")
        try:
            async with asyncio.timeout(row.seconds + _AROUND_SECONDS):
                await perform(row, self.profile, self.seed, made, folder, history)
        except NotPossible as error:
            return self._result(row, Ending.NOT_RUN, why=str(error))
        except RowFailed as error:
            return self._judged(row, history, why=str(error))
        except TimeoutError:
            return self._result(row, Ending.FAILED, history, why="it hangs")
        except (FunnelError, OSError, psycopg.Error, KafkaException) as error:
            return self._result(row, Ending.FAILED, history, why=f"{type(error).__name__}: {error}")
        return self._judged(row, history)

    def _judged(self, row: Row, history: History, why: str = "") -> Result:
        self.say("checking the history")
        try:
            verdict = check(history.folder)
        except BadHistory as error:
            return self._result(row, Ending.FAILED, history, why=f"{why} (no verdict: {error})")
        ending = Ending.HELD if verdict.ok else Ending.VIOLATED
        return self._result(row, Ending.FAILED if why else ending, history, why, verdict)

    def _result(
        self, row: Row, ending: Ending, history: History | None = None, why: str = "", verdict: Verdict | None = None
    ) -> Result:
        return Result(
            row.key,
            row.title,
            ending,
            self.seed,
            self.profile.size.value,
            faults=history.faults if history else 0,
            kills=history.kills if history else 0,
            why=why,
            violations=[asdict(one) for one in verdict.violations] if verdict else [],
            counts=_counts(verdict, history),
        )

    def _keep(self, result: Result) -> None:
        self.report.add(result)
        self.say(f"=== row {result.row} {result.ending.value} in {result.seconds:.0f} s {result.why}".rstrip())
        for one in result.violations[:_SHOWN]:
            self.say(f"    {one['invariant']} {one['category']} {one['what']}: {one['detail']}")
        if len(result.violations) > _SHOWN:
            self.say(f"    and {len(result.violations) - _SHOWN} more")


def _counts(verdict: Verdict | None, history: History | None) -> dict[str, object]:
    """The checker's, and what the row has measured."""
    measured = history.measured if history else {}
    return (dict(verdict.counts) if verdict else {}) | ({"measured": measured} if measured else {})
