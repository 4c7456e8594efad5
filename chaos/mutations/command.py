"""The command line: `python -m chaos.mutations [--list] [--only NAME ..] [--tests NODE ..] [--jobs N] [--fresh]`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from chaos.mutations import table
from chaos.mutations.catalogue import ALL, AREAS
from chaos.mutations.mutation import DoesNotApply, Mutation
from chaos.mutations.results import Results
from chaos.mutations.trial import ROOT, NotTheCopy, Outcome, Trials, Verdict, digest, snapshot
from funnel.embedded.servers import running
from funnel.errors import FunnelError

FAILED = 1
INTERRUPTED = 130
RESULTS = ROOT / ".funnel" / "mutations.json"


def main(argv: Sequence[str] | None = None) -> int:
    """The whole program; returns its exit code: 1 when a safeguard can be taken out unnoticed, or nothing is proved."""
    options = _parser().parse_args(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # stopping it must stop its servers, too
        signal.signal(number, _interrupt)
    try:
        if options.list:
            _tell("\n".join(f"{one.name:32} {one.safeguard}" for one in ALL))
            return 0
        if options.write:
            (ROOT / table.PLACE).write_text(table.page(AREAS), encoding="utf-8")
            return 0
        return _prove(options)
    except (FunnelError, DoesNotApply, NotTheCopy) as error:
        _tell(str(error))
        return FAILED
    except KeyboardInterrupt as stop:
        _tell(f"Stopped by {stop}; nothing is left running.")
        return INTERRUPTED


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos.mutations", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print names and safeguards")
    parser.add_argument("--write", action="store_true", help=f"write {table.PLACE}")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="try these mutations")
    parser.add_argument("--tests", nargs="+", metavar="NODE", help="run these tests instead; nothing is kept")
    parser.add_argument("--jobs", type=int, default=1, help="so many mutants at the same time")
    parser.add_argument("--fresh", action="store_true", help="forget the results of an earlier run on the same code")
    return parser


def chosen(names: Iterable[str] | None) -> list[Mutation]:
    """The mutations of these names; all for None. Raises DoesNotApply for a name that there is not."""
    by_name = {one.name: one for one in ALL}
    if unknown := set(names or ()) - by_name.keys():
        raise DoesNotApply(f"There is no mutation {', '.join(sorted(unknown))}; see --list.")
    return [by_name[name] for name in names] if names else list(ALL)


def _prove(options: argparse.Namespace) -> int:
    mutations = chosen(options.only)
    folder = Path(tempfile.mkdtemp(prefix="funnel-mutants-"))
    try:
        pristine = snapshot(folder / "pristine")
        for one in mutations:
            one.mutated(pristine)
        tree = digest(pristine)
        results = Results(tree) if options.tests else Results.load(RESULTS, tree, fresh=options.fresh)
        left = [one for one in mutations if not results.knows(one)]
        if len(left) < len(mutations):
            _tell(f"{len(mutations) - len(left)} of {len(mutations)} were red before on this code.")
        with running(folder / "servers", _tell) as servers:
            trials = Trials(pristine, servers)
            sound = _green(trials, _tests_of(left, options.tests), results)
            tried = [one for one in left if sound.issuperset(_tests_of([one], options.tests))]
            _try_all(trials, tried, options, results)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    unproved = [one.name for one in mutations if not results.knows(one)]
    _tell(f"{len(mutations) - len(unproved)} of {len(mutations)} safeguards are noticed when they are missing.")
    _tell("".join(f"\nNot proved: {name}" for name in unproved))
    return FAILED if unproved else 0


def _tests_of(mutations: Sequence[Mutation], instead: Sequence[str] | None) -> list[str]:
    return list(instead or dict.fromkeys(one.test for one in mutations))


def _green(trials: Trials, tests: Sequence[str], results: Results) -> set[str]:
    """Those of the tests that pass on the code as it is: a red one of the others would say nothing."""
    if unknown := [test for test in tests if test not in results.green]:
        _tell(f"{len(unknown)} tests on the code as it is ..")
        outcome = trials.unmutated(unknown)
        if outcome.verdict is Verdict.GREEN or outcome.bad:
            results.add_green([test for test in unknown if not any(is_of(bad, test) for bad in outcome.bad)])
        _tell(f"   {outcome.verdict}, {outcome.seconds:.0f} s")
        if outcome.verdict is not Verdict.GREEN:
            _tell("\n".join(("   Not green, so nothing is proved by:", *outcome.bad)))
            _tell(outcome.message or "")
    return results.green.intersection(tests)


def is_of(case: str, node: str) -> bool:
    """Whether the test case is the one, or one of those, that the node id names: a file, a function, or a case."""
    return case == node or case.startswith((f"{node}[", f"{node}::", f"{node.rstrip('/')}/"))


def _try_all(trials: Trials, mutations: Sequence[Mutation], options: argparse.Namespace, results: Results) -> None:
    with ThreadPoolExecutor(options.jobs) as threads:
        runs = {threads.submit(trials.mutant, one, options.tests or [one.test]): one for one in mutations}
        try:
            for number, run in enumerate(as_completed(runs), 1):
                results.add(runs[run], run.result())
                _tell(_line(number, len(runs), runs[run], run.result()))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            trials.stop()
            raise


def _line(number: int, count: int, mutation: Mutation, outcome: Outcome) -> str:
    said = {Verdict.RED: "red", Verdict.GREEN: "UNNOTICED", Verdict.BROKEN: "BROKEN"}[outcome.verdict]
    head = f"[{number}/{count}] {mutation.name:32} {said:9} {outcome.seconds:4.0f} s  {outcome.failed or ''}"
    return f"{head}\n        {outcome.message}" if outcome.message else head


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
