"""`funnel demo`: invented people live their journeys on a stack of their own, and everything is accounted for."""

from __future__ import annotations

import json
import logging
import os
import signal
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from funnel.demo.show import WIDTH, as_json, show
from funnel.demo.stage import Demo, play_on_own_stack
from funnel.embedded.ports import free_port
from funnel.errors import FunnelError
from funnel.settings import Settings

FAILED = 1
INTERRUPTED = 130
MOST_LEADS = 2000


def demo(
    leads: Annotated[int, typer.Option(min=1, max=MOST_LEADS, help="People who give their name.")] = 40,
    seed: Annotated[int, typer.Option(help="The same seed plays the same journeys.")] = 7,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Play journeys from the web form to the rep on a real stack, show who got which lead, leave nothing running.

    Exit code 1 if anything is unaccounted, unassigned without a reason, or assigned twice.
    """
    os.environ["FUNNEL_KAFKA_PORT"] = str(free_port())  # the usual one may be in use by `funnel up`
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that restarts is waited for, not told
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopping it must stop the stack, too
    try:
        with _Screen(Console(stderr=True)) as screen:
            played = Demo(seed, leads, datetime.now(UTC))
            result = play_on_own_stack(Settings(), played, screen)
    except FunnelError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        typer.echo("Stopped; nothing is left running.", err=True)
        raise typer.Exit(INTERRUPTED) from error
    if json_output:
        report = as_json(seed, result.places, result.observed, result.problems)
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        console = Console()
        show(console if console.is_terminal else Console(width=WIDTH), result.places, result.observed, result.problems)
    raise typer.Exit(FAILED if result.problems else 0)


class _Screen:
    """A line that tells the step, with a bar where there is something to count; plain lines where no terminal is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> _Screen:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, step: str) -> None:
        self._show(step, None)

    def begin(self, step: str, total: int) -> None:
        self._show(step, total)

    def advance(self) -> None:
        if self._task is not None:
            self._progress.advance(self._task)

    def _show(self, step: str, total: int | None) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(step, total=total)
        if not self._console.is_terminal:
            self._console.print(step, markup=False, highlight=False)
