"""The command line: `python -m chaos [--quick] [--only 7 14b] [--seed N] [--resume] [--events N] [--list]`."""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from chaos.errors import ChaosError
from chaos.faults import all_rows, chosen
from chaos.matrix import Matrix
from chaos.page import page
from chaos.profile import PROFILES, Size
from chaos.report import Report, markdown
from funnel.embedded.home import Home
from funnel.errors import FunnelError
from funnel.settings import Settings

RESULTS: Final = Path(__file__).parent / "results" / "chaos-report.json"
FAILED: Final = 1
INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """The whole program; its exit code: 1 when a row failed or something was not as promised."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopping it must stop its servers, too
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    try:
        if options.matrix:
            sys.stdout.write(page(all_rows()))
            return 0
        return _list() if options.list else _run(options)
    except FunnelError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; nothing is left running.\n")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m chaos", description="The fault matrix; see chaos/README.md.")
    parser.add_argument("--list", action="store_true", help="list the rows and end")
    parser.add_argument("--matrix", action="store_true", help="print docs/fault-matrix.md and end")
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows by number (14) or key (14b)")
    parser.add_argument("--size", choices=[size.value for size in Size], default=Size.FULL.value, help="how much of it")
    parser.add_argument("--quick", action="store_true", help="the same as --size quick: shorter faults, fewer events")
    parser.add_argument("--events", type=int, metavar="N", help="events per row, when not what the size says")
    parser.add_argument("--seed", type=int, metavar="N", help="of people and choices; printed when not given")
    parser.add_argument("--resume", action="store_true", help="leave out rows that held with the same seed and size")
    parser.add_argument("--report", type=Path, metavar="FILE", default=RESULTS, help="default chaos/results/")
    return parser


def _list() -> int:
    for row in all_rows():
        why = f"  (not run: {row.reason})" if row.reason else ""
        print(f"{row.key:>4}  {row.title}{why}")
    return 0


def _run(options: argparse.Namespace) -> int:
    rows, report = chosen(all_rows(), options.only), Report(options.report)
    if options.resume:
        if options.seed is None:
            raise ChaosError("--resume needs the --seed of the run that is to go on.")
        report.resume()
    seed = secrets.randbits(31) if options.seed is None else options.seed
    size = Size.QUICK if options.quick else Size(options.size)
    profile = PROFILES[size]
    if options.events:
        profile = replace(profile, events=options.events)
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started:7.1f}  {line}", flush=True)

    say(f"seed {seed}, size {size}")
    left = [row for row in rows if not report.has(row.key, seed, size)]
    home = Home.at(Settings().home / "chaos")
    with home.locked():
        shutil.rmtree(home.path / "servers", ignore_errors=True)
        (home.path / "servers").mkdir()
        good = Matrix(left, profile, seed, home.path, report, say).run()
    print(markdown(report.results))
    print(f"All of it: {options.report}")
    return 0 if good else FAILED
