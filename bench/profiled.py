"""Runs a service under a stop watch: `python -m bench.profiled calls|statements FILE MODULE`.

`calls` writes cProfile's table: where Python spends its time (calls cost about twice as much under it, so read shares,
not sums). `statements` writes how long the service waited for each statement, and for Kafka, at full speed.
"""

from __future__ import annotations

import contextlib
import cProfile
import functools
import io
import pstats
import runpy
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from funnel.kafka.consumer import Consumer
from funnel.kafka.producer import Producer

LINES = 60
_LABEL_LENGTH = 96


class Waits:
    """Number and seconds of waits, by what was waited for."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._totals: dict[str, list[float]] = {}

    def watch(self, owner: type, method: str, label: Callable[..., str]) -> None:
        """Have every call of an asynchronous method timed; `label` is given its arguments, without self."""
        original: Callable[..., Awaitable[Any]] = getattr(owner, method)

        @functools.wraps(original)
        async def timed(self: Any, *args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return await original(self, *args, **options)
            finally:
                total = waits._totals.setdefault(label(*args, **options), [0, 0.0])
                total[0] += 1
                total[1] += time.perf_counter() - start

        waits = self
        setattr(owner, method, timed)

    def table(self) -> str:
        """The waits, longest in sum first."""
        lines = [f"process: {time.perf_counter() - self._started:.1f} s", "  calls  seconds  ms each  what"]
        for label, (calls, seconds) in sorted(self._totals.items(), key=lambda one: -one[1][1]):
            lines.append(f"{calls:7.0f} {seconds:8.2f} {seconds / calls * 1000:8.2f}  {label}")
        return "\n".join(lines) + "\n"


def with_calls(module: str) -> str:
    """Run `module` under cProfile, and return its table. What it imports as it starts is no part of it."""
    runpy.run_module(module)  # not as the main program: it does no more than import
    profile = cProfile.Profile()
    with contextlib.suppress(SystemExit):
        profile.runcall(runpy.run_module, module, run_name="__main__")
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text)
    for order in ("tottime", "cumulative"):
        stats.sort_stats(order).print_stats(LINES)
    return text.getvalue()


def with_statements(module: str) -> str:
    """Run `module` with its waits timed, and return their table."""
    waits = Waits()
    for method in ("fetch", "fetchrow", "fetchval", "execute"):
        waits.watch(asyncpg.Connection, method, _statement)
    waits.watch(asyncpg.Connection, "copy_records_to_table", lambda table, **_: f"COPY {table}")
    waits.watch(Consumer, "poll", lambda *_, **__: "(Kafka: the next records)")
    waits.watch(Producer, "publish", lambda *_, **__: "(Kafka: records acknowledged)")
    with contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__")
    return waits.table()


def _statement(sql: str, *_: object, **__: object) -> str:
    lines = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    return " ".join(" ".join(lines).split())[:_LABEL_LENGTH]


MODES: dict[str, Callable[[str], str]] = {"calls": with_calls, "statements": with_statements}


def main() -> None:
    """The whole process."""
    mode, target, module = sys.argv[1:]
    sys.argv = [module]
    text = MODES[mode](module)
    Path(target).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
