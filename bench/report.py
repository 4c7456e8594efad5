"""The end of a bench: one table, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from bench.figures import Figure, Spread, spread
from bench.plan import STEAL_MAX
from bench.run import Arm, Outcome

WIDTH = 110


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an arm; it counts in the figures when `kept`. `outcome` is None when it failed, for `failure`."""

    arm: str
    round: int
    kept: bool
    outcome: Outcome | None
    failure: str = ""

    @property
    def problems(self) -> Sequence[str]:
        return [self.failure] if self.outcome is None else self.outcome.problems

    @property
    def stolen(self) -> bool:
        """Whether the host took away more than the figures can bear."""
        return self.outcome is not None and (self.outcome.usage.steal or 0) > STEAL_MAX


def invalid(arm: Arm, runs: Sequence[Run]) -> list[str]:
    """Why the arm has no figures: what went wrong in the runs that count. Empty when all is right."""
    return [f"round {run.round}: {text}" for run in runs if run.arm == arm.name and run.kept for text in run.problems]


def spreads(arm: Arm, runs: Sequence[Run]) -> dict[str, Spread]:
    """Every figure of an arm over the rounds, by name."""
    kept = [run.outcome.figures for run in runs if run.arm == arm.name and run.kept and run.outcome]
    names = dict.fromkeys(name for figures in kept for name in figures)
    return {name: spread([figures[name] for figures in kept if name in figures]) for name in names}


def table(arms: Sequence[Arm], runs: Sequence[Run]) -> Table:
    """What was measured, as people read it."""
    shown = Table(box=box.SIMPLE_HEAD, width=WIDTH, pad_edge=False)
    shown.add_column("", ratio=1)
    for name in ("median", "least - most", "aim"):
        shown.add_column(name, justify="right")
    for arm in arms:
        shown.add_row(Text(arm.title, style="bold"))
        _add_figures(shown, arm, runs)
        shown.add_section()
    return shown


def _add_figures(shown: Table, arm: Arm, runs: Sequence[Run]) -> None:
    if reasons := invalid(arm, runs):
        for reason in reasons:
            shown.add_row(Text(f"  invalid: {reason}", style="red"))
        return
    found = spreads(arm, runs)
    for figure in arm.figures:
        if figure.name in found:
            shown.add_row(f"  {figure.text}", *_cells(figure, found[figure.name]))
    shown.add_row(Text(f"  {_conditions([run for run in runs if run.arm == arm.name and run.kept])}", style="dim"))


def _cells(figure: Figure, values: Spread) -> tuple[str | Text, ...]:
    def written(value: float) -> str:
        return f"{value:,.{figure.digits}f}"

    median: str | Text = written(values.median)
    if figure.aim is not None:
        median = Text(written(values.median), style="green" if figure.meets(values.median) else "yellow")
    return (
        median,
        f"{written(values.least)} - {written(values.most)}",
        "" if figure.aim is None else written(figure.aim),
    )


def _conditions(runs: Sequence[Run]) -> str:
    """How quiet the machine was in the worst of the runs."""
    usages = [run.outcome.usage for run in runs if run.outcome]
    parts = [f"load {max(usage.load for usage in usages):.1f}"]
    for name, text in (("steal", "stolen by the host"), ("others", "used by other processes")):
        known = [value for usage in usages if (value := getattr(usage, name)) is not None]
        if known:
            parts.append(f"{max(known):.0%} {text}")
    if any(run.stolen for run in runs):
        parts.append("a run was kept although its time was stolen")
    return ", ".join(parts)


def as_json(arms: Sequence[Arm], runs: Sequence[Run], about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, runs that were repeated included."""
    return {**about, "arms": {arm.name: _arm_json(arm, runs) for arm in arms}}


def _arm_json(arm: Arm, runs: Sequence[Run]) -> dict[str, Any]:
    reasons = invalid(arm, runs)
    aims = {figure.name: figure.aim for figure in arm.figures if figure.aim is not None}
    figures = {
        name: {"median": one.median, "least": one.least, "most": one.most, "aim": aims.get(name)}
        for name, one in spreads(arm, runs).items()
    }
    return {
        "title": arm.title,
        "valid": not reasons,
        "invalid": reasons,
        "figures": {} if reasons else figures,
        "runs": [_run_json(run) for run in runs if run.arm == arm.name],
    }


def _run_json(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {"round": run.round, "kept": run.kept, "problems": list(run.problems)}
    if run.outcome is not None:
        usage = run.outcome.usage
        told |= {
            "seconds": usage.seconds,
            "steal": usage.steal,
            "others": usage.others,
            "load": usage.load,
            "stolen": run.stolen,
            "figures": dict(run.outcome.figures),
        }
    return told
