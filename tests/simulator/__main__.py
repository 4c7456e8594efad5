"""`python -m tests.simulator --seeds 10000 --from 0`: a long run; it ends at the first seed that breaks a promise."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulator.run import PLAYS, simulate

_TELL_EVERY = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many runs of each play")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--play", choices=sorted(PLAYS), action="append", help="default: all of them")
    parser.add_argument("--trace", action="store_true", help="print the steps of every run")
    asked = parser.parse_args()
    began, virtual, done = time.monotonic(), 0.0, 0
    for seed in range(asked.first, asked.first + asked.seeds):
        for play in asked.play or PLAYS:
            outcome = simulate(seed, play)
            done, virtual = done + 1, virtual + outcome.virtual_seconds
            if asked.trace:
                print("\n".join(outcome.trace.lines()))  # noqa: T201 - a program's output
            if outcome.violations:
                print(outcome.report())  # noqa: T201
                return 1
            if done % _TELL_EVERY == 0:
                print(f"{done} runs up to seed {seed}")  # noqa: T201
    seconds = time.monotonic() - began
    print(f"{done} runs, {virtual:.0f} virtual seconds in {seconds:.0f} s: nothing found")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
