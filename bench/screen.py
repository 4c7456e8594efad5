"""Progress on a terminal; plain lines where there is none."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Screen:
    """One line: which run this is, its step, and how far that has come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None)
        self._run = ""

    def __enter__(self) -> Screen:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin_run(self, name: str) -> None:
        """Which run the following steps belong to."""
        self._run = name

    def say(self, step: str) -> None:
        """A step with nothing to count."""
        self.begin(step, None)

    def begin(self, step: str, total: int | None) -> None:
        """A step that counts to `total`."""
        text = f"{self._run}: {step}" if self._run else step
        self._progress.reset(self._task, description=text, total=total)
        if not self._console.is_terminal:
            self._console.print(text, markup=False, highlight=False)

    def at(self, count: int) -> int:
        """The step has come to `count`, which is returned."""
        self._progress.update(self._task, completed=count)
        return count

    def advance(self, by: int) -> None:
        """The step has come so much further."""
        self._progress.advance(self._task, by)

    def note(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, markup=False, highlight=False)
