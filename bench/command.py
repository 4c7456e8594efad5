"""The command line: `python -m bench [--quick] [--rounds N] [--only ARM ..] [--json FILE] [--profile ARM]`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console

from bench.arms import ARMS, spine
from bench.errors import BenchError, RunFailed
from bench.plan import FULL, QUICK, ROUNDS, WARM_UP_EVENTS, in_turns, to_repeat
from bench.profiled import MODES
from bench.report import WIDTH, Run, as_json, invalid, table
from bench.run import Arm, Bench
from bench.screen import Screen
from bench.servers import running
from bench.services import Profiling
from bench.versions import machine, versions
from funnel.embedded.home import Home
from funnel.errors import FunnelError
from funnel.settings import Settings

RESULTS = Path(__file__).parent / "results"
FAILED = 1
INTERRUPTED = 130
FAUST = "faust"
NO_FAUST = (
    "The arm faust needs faust-streaming: `pip install faust-streaming` in a venv of its own, "
    "and name the Python of that with --faust-python."
)


def main(argv: Sequence[str] | None = None) -> int:
    """The whole program; returns its exit code: 1 when an arm is invalid or the bench cannot run."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopping it must stop its servers, too
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    try:
        with Screen(Console(stderr=True)) as screen:
            return _profile(options, screen) if options.profile else _measure(options, screen)
    except FunnelError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; nothing is left running.\n")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description="Measures the funnel; see bench/README.md.")
    parser.add_argument("--quick", action="store_true", help="smaller runs and one round: a look, not a result")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"runs of each arm (default {ROUNDS}, quick 1)")
    parser.add_argument("--only", nargs="+", choices=list(ARMS), metavar="ARM", help=f"of {', '.join(ARMS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the result goes (default bench/results/)")
    parser.add_argument("--profile", choices=list(ARMS), metavar="ARM", help="profile the services of one arm instead")
    parser.add_argument("--faust-python", metavar="PYTHON", help="a Python that has faust-streaming, for the arm faust")
    return parser


def _measure(options: argparse.Namespace, screen: Screen) -> int:
    settings, rounds = Settings(), options.rounds or (1 if options.quick else ROUNDS)
    faust = _faust_python(options)
    names = options.only or [name for name in ARMS if name != FAUST or faust]
    if FAUST in names and faust is None:
        raise BenchError(NO_FAUST)
    arms = [ARMS[name] for name in names]
    started = datetime.now(UTC)
    home = Home.at(settings.home / "bench")
    runs: list[Run] = []
    with home.locked(), running(settings, _emptied(home), screen.say) as servers:
        sizes = QUICK if options.quick else FULL
        bench = Bench(servers, home.path, sizes, screen, started, faust)
        about = {"at": started.isoformat(), "quick": options.quick, "rounds": rounds}
        about |= {"versions": versions(servers, faust), "machine": machine(servers, home.path)}
        if servers.own:
            screen.begin_run("warm-up")
            spine.warm_up(bench, WARM_UP_EVENTS)
        for number, name in in_turns(names, rounds):
            runs += _repeated(bench, ARMS[name], number, f"round {number} of {rounds}, {ARMS[name].title}")
    _tell(arms, runs, about, options.json or RESULTS / f"bench-{started:%Y%m%dT%H%M%SZ}.json")
    if not options.only and FAUST not in names:
        screen.note(NO_FAUST)
    return FAILED if any(invalid(arm, runs) for arm in arms) else 0


def _repeated(bench: Bench, arm: Arm, number: int, title: str) -> list[Run]:
    """One run of an arm, and the ones before it that lost too much time to others on the host."""
    runs: list[Run] = []
    while True:
        bench.screen.begin_run(title)
        run = _once(bench, arm, number)
        again = run.outcome is not None and to_repeat(run.outcome.usage.steal, len(runs))
        runs.append(replace(run, kept=not again))
        if not again:
            return runs
        bench.screen.note(f"{title}: its time was stolen, it is done again")


def _once(bench: Bench, arm: Arm, number: int) -> Run:
    try:
        return Run(arm.name, number, kept=True, outcome=arm.run(bench))
    except RunFailed as error:
        bench.screen.note(f"{arm.title}: {error}")
        return Run(arm.name, number, kept=True, outcome=None, failure=str(error))


def _tell(arms: Sequence[Arm], runs: Sequence[Run], about: dict[str, Any], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(as_json(arms, runs, about), indent=2) + "\n", encoding="utf-8")
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table(arms, runs))
    console.print(f"{about['machine']['cores']} cores, {', '.join(f'{k} {v}' for k, v in about['versions'].items())}")
    console.print(f"All of it: {target}", soft_wrap=True)


def _profile(options: argparse.Namespace, screen: Screen) -> int:
    """One run for each kind of profile; what the services write stays in bench/results."""
    arm, settings = ARMS[options.profile], Settings()
    home, now = Home.at(settings.home / "bench"), datetime.now(UTC)
    with home.locked(), running(settings, _emptied(home), screen.say) as servers:
        for mode in MODES:
            profiles = home.path / mode
            profiles.mkdir()
            bench = Bench(
                servers, home.path, QUICK if options.quick else FULL, screen, now, profiling=Profiling(mode, profiles)
            )
            screen.begin_run(f"{arm.title}, {mode}")
            outcome = arm.run(bench)
            for text in outcome.problems:
                screen.note(f"wrong output: {text}")
            for found in sorted(profiles.iterdir()):
                target = RESULTS / f"profile-{arm.name}-{found.name}-{mode}.txt"
                shutil.copyfile(found, target)
                screen.note(f"{target}")
    return 0


def _emptied(home: Home) -> Home:
    """The home without what an earlier bench that was killed left in it."""
    for entry in home.path.iterdir():
        if entry.is_dir() and entry != home.run:
            shutil.rmtree(entry)
    return home


def _faust_python(options: argparse.Namespace) -> str | None:
    if options.faust_python:
        return str(options.faust_python)
    return sys.executable if importlib.util.find_spec("faust") else None
