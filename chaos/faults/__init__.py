"""The rows of the fault matrix: what is injected, while load runs. One module per family; numbers as in the matrix.

How to write a row::

    @row(7, "A broker is killed, the leader chased", needs=("proxies",), replicas={"scoring": 2})
    async def leader_chased(run: Run) -> None:
        await run.load.reached(0.2)                       # the moment: a share of the planned events was sent
        async with run.fault("kill broker 2", "SIGKILL"):  # "inject" now and "heal" at the end, into faults.jsonl
            await run.kill_broker(2)
            await run.pause(run.pick(full=60, quick=10))    # how long the fault lasts: seconds by size of the run
            await run.start_broker(2)                      # healed: say so only when it is
        await run.until(lambda: run.watcher.lag(..)[..] == 0, 60, "scoring catches up")   # else RowFailed

The function injects and heals; everything else is done for it. Before it starts, the product is up on an empty
database and topics of its own, and load runs; the load goes on (at least `events` items) until the function returns.
Then whatever is still broken is healed, and the deployment must come to rest (no lag, nothing unpublished, nothing
unaccounted) within `REST_SECONDS`; then the checker is asked. A row may raise RowFailed for what only it can see (an
answer that was false), and NotPossible for a reason why this machine cannot make it. Any other exception fails it too.

`row(number, title, ..)` takes

- `part`: a letter where a number has several rows ("a", "b"); `--only 14` runs all of them, `--only 14b` one;
- `needs`: "proxies" (toxiproxy in front of every server; else the row is not run, with the reason), "faketime" (all
  processes have the clock `run.clock`), "failpoints" (`run.failpoints` is the folder FUNNEL_FAILPOINTS names);
- `replicas`: how many of a service run, when not one: {"scoring": 3}; more can be started and stopped by the row
  (`run.deployment.add`, `.remove`);
- `environment`: variables of every process of the product;
- `postgres`: "shared" (the default: a primary with a synchronous standby for all rows, which the row must leave as it
  found it, apart from what `Ground.heal` repairs), "synchronous" or "asynchronous": a pair of the row's own, for rows
  that promote, cut or ruin it (`run.postgres.pair`);
- `topics`: a function (brokers, prefix) that creates topics under the prefix before the product does, for a row that
  needs them otherwise than declared (what it leaves out is created as declared); `waive`: the product accepts topics
  and a Postgres without copies (FUNNEL_WAIVE_REPLICATION);
- `events`, `rate`: when the profile's do not fit; `seconds`: when the row needs longer than `LIMIT_SECONDS`.

What a `Run` has: `load` (`.reached`, `.answered`, `.statuses`, `.last_accepted_at`), `client` (httpx, for requests of
the row's own), `deployment` (`.kill`, `.terminate`, `.freeze`, `.thaw`, `.add`, `.remove`, `.pid`, `.urls`,
`.replicas`, `.restarts`),
`brokers` (`.leaders`, `.in_sync`, `.admin`, `[n]`), `proxies` (`.poisoned`, `.down`, `.up`, `.named`), `postgres`
(`.pair`, `.direct`, `.proxy_names`), `dsn` (the run's database, around the proxy), `topic(name)`, `watcher` (`.sample`,
`.lag`, `.positions`, `.ledger`, `.waiting`), `chance` (seeded), `history`, `home`. Blocking calls belong into
`await run.off(function, ..)`. A `what` that begins with "kill" is counted as
one kill, unless `run.fault(.., kills=3)` says how many.

`run.progress()` waits until events sent after now are accepted and scored. What a row sends itself through `run.client`
is unknown to the checker unless it writes lines for it: `run.history.answer({..})`, or give `run.load.deliver(request)`
a `chaos.traffic.Request`, which sends it until it is answered and writes the lines.

A row with a stack of its own: `@alone(2, "..")`. One that cannot be made here: `impossible(15, "..", "why")`.

Try one, beside other runs on the same machine:
`FUNNEL_HOME=/tmp/mine python -m chaos --size smoke --only 7a --events 800 --report /tmp/mine/report.json`; the history,
with the logs of all processes, stays in `FUNNEL_HOME/chaos/rows/<key>/history`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypedDict, Unpack

from chaos.errors import ChaosError

if TYPE_CHECKING:
    from chaos.checker import Verdict
    from chaos.cluster.brokers import Brokers
    from chaos.profile import Profile
    from chaos.run import Run

LIMIT_SECONDS: Final = 900.0
"""A row that takes longer (its fault, not the draining after it) hangs, and has failed."""

Need = Literal["proxies", "faketime", "failpoints"]
PostgresKind = Literal["shared", "synchronous", "asynchronous"]
Fault = Callable[["Run"], Awaitable[None]]
Program = Callable[[Path, "Profile", int, Callable[[str], None]], Awaitable[tuple["Verdict", int, str]]]
"""A row with a stack and a load of its own: folder for its history, profile, seed, and where to tell what it does ->
the verdict on the history, the number of kills, and why it failed (empty when it did not)."""
Topics = Callable[["Brokers", str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `fault` is None where `reason` says why it cannot be made, and where it is a `program` of its own."""

    number: int
    part: str
    title: str
    fault: Fault | None
    reason: str = ""
    program: Program | None = None
    needs: Sequence[Need] = ()
    replicas: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    postgres: PostgresKind = "shared"
    topics: Topics | None = None
    waive: bool = False
    events: int | None = None
    rate: float | None = None
    seconds: float = LIMIT_SECONDS

    @property
    def key(self) -> str:
        """`7`, `14b`."""
        return f"{self.number}{self.part}"


class Wanted(TypedDict, total=False):
    """What a row may ask for."""

    needs: Sequence[Need]
    replicas: Mapping[str, int]
    environment: Mapping[str, str]
    postgres: PostgresKind
    topics: Topics
    waive: bool
    events: int
    rate: float
    seconds: float


ROWS: dict[str, Row] = {}


def row(number: int, title: str, *, part: str = "", **wanted: Unpack[Wanted]) -> Callable[[Fault], Fault]:
    """Register the decorated function as a row; see above."""

    def register(fault: Fault) -> Fault:
        _keep(Row(number, part, title, fault, **wanted))
        return fault

    return register


def alone(number: int, title: str, *, part: str = "") -> Callable[[Program], Program]:
    """Register the decorated program as a row: it is run before there is a ground, with the machine to itself."""

    def register(program: Program) -> Program:
        _keep(Row(number, part, title, None, program=program))
        return program

    return register


def impossible(number: int, title: str, reason: str, *, part: str = "") -> None:
    """Register a row that cannot be made, with the reason that the report shows."""
    _keep(Row(number, part, title, None, reason))


def _keep(one: Row) -> None:
    if one.key in ROWS:
        raise ChaosError(f"Row {one.key} is registered twice: {ROWS[one.key].title!r} and {one.title!r}.")
    ROWS[one.key] = one


def all_rows() -> list[Row]:
    """Every row of every module of this package, in order."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return sorted(ROWS.values(), key=lambda one: (one.number, one.part))


def chosen(rows: Sequence[Row], only: Sequence[str]) -> list[Row]:
    """The rows that `only` names by number or key; all when it names none. Raises ChaosError for an unknown one."""
    if unknown := [name for name in only if not any(name in (one.key, str(one.number)) for one in rows)]:
        raise ChaosError(f"There is no row {', '.join(unknown)}; `python -m chaos --list` lists them.")
    return [one for one in rows if not only or one.key in only or str(one.number) in only]
