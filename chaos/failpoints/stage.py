"""The stack that the points are reached in: the four services under their supervisor, with servers of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg

from chaos.errors import ChaosError, RowFailed
from chaos.failpoints.load import Load
from chaos.history import History
from chaos.stack import StackUnderTest, on_free_ports, stack_under_test
from funnel import failpoints
from funnel.embedded import state
from funnel.embedded.probes import service_problems
from funnel.embedded.stack import SERVICES
from funnel.embedded.state import ChildState, StackState

PATIENCE_SECONDS: Final = 90.0
"""Ends a run that hangs; no statement about speed."""

SLOW: Final = "slow"
"""A source that may send one item a second."""

RESERVE: Final = "reserve"
"""The one rep of the pool in which leads have to wait; room is made for them one by one."""

RECEIPTS: Final = "ingest-receipts"

_LOOK_SECONDS: Final = 0.05
_ROUTING: Final = f"""
pools:
  large: {{members: [{{rep: ito}}, {{rep: tanaka}}]}}
  small: {{members: [{{rep: {RESERVE}}}]}}
reps:
  - {{id: ito, name: Ito Ren, email: ito@example.jp, capacity: 100000}}
  - {{id: tanaka, name: Tanaka Miho, email: tanaka@example.jp, capacity: 100000}}
  - {{id: {RESERVE}, name: Kato Yuto, email: kato@example.jp, capacity: 1}}
rules:
  - {{rule: large companies, pool: large, when: [{{field: employees, at_least: 300}}]}}
  - {{rule: everyone else, pool: small}}
"""


async def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `condition` holds. Raises RowFailed, which says that `what` did not happen."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise RowFailed(f"Not in {seconds:g} s: {what}.")
        await asyncio.sleep(_LOOK_SECONDS)


class Stage:
    """A running stack. `orders` is the folder that arms failpoints."""

    def __init__(self, stack: StackUnderTest, orders: Path, history: History) -> None:
        self.stack = stack
        self.orders = orders
        self.history = history
        self.load = Load(self.url("ingest"), self.known().kafka_bootstrap, history)
        self._admin = {"Authorization": f"Bearer {stack.home.admin_token()}"}
        self._slow_key = ""

    def known(self) -> StackState:
        """What the supervisor has written down last."""
        known = state.read(self.stack.home)
        if known is None:
            raise ChaosError("The stack has gone.")
        return known

    def url(self, service: str) -> str:
        return self._child(service).url

    def pid(self, process: str) -> int:
        """The pid of a service or server; 0 while it waits to be started again."""
        return self._child(process).pid or 0

    def signal(self, process: str, number: signal.Signals) -> None:
        """Send a signal to a service or server, if it runs."""
        with suppress(ProcessLookupError):
            if pid := self.pid(process):
                os.kill(pid, number)

    def problem(self, service: str) -> str:
        """What keeps the service from being ready; empty when it is."""
        return service_problems(self.url(service))

    async def until_service(self, service: str) -> None:
        """Wait until the service is ready. Raises RowFailed."""
        await until(lambda: not self.problem(service), f"{service} is ready")

    async def until_ready(self) -> None:
        """Wait until all services are ready. Raises RowFailed."""
        for service in SERVICES:
            await self.until_service(service)

    @contextmanager
    def frozen(self, process: str) -> Iterator[None]:
        """A service or server that does nothing while the block runs."""
        self.signal(process, signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(process, signal.SIGCONT)

    def arm(self, point: str, what: str, service: str) -> None:
        """Have the next process of `service` that gets to `point` do `what`: kill or stop."""
        failpoints.arm(self.orders, point, f"{what} service={service}")

    def hit(self, point: str) -> int | None:
        """The pid of the process that has obeyed at `point`, or None."""
        return failpoints.hit_by(self.orders, point)

    def visited(self) -> set[tuple[str, str]]:
        """Points that were reached since visits are recorded, each with its service."""
        return failpoints.visited(self.orders)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What Postgres answers."""
        with psycopg.connect(self.known().postgres_dsn, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    async def ledger(self) -> dict[str, Any]:
        """The account that metrics keeps; empty while it does not answer."""
        async with httpx.AsyncClient(base_url=self.url("metrics"), timeout=PATIENCE_SECONDS) as client:
            with suppress(httpx.TransportError):
                answer = await client.get("/v1/ledger")
                if answer.status_code == 200:
                    return dict(answer.json())
        return {}

    async def at_rest(self) -> dict[str, Any]:
        """The ledger once all that was sent has its effect. Raises RowFailed when that does not come."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            told = await self.ledger()
            left = _not_at_rest(told)
            if not left:
                return told
            if time.monotonic() > give_up:
                raise RowFailed(f"Not at rest after {PATIENCE_SECONDS:g} s: {', '.join(left)} in {told}.")
            await asyncio.sleep(_LOOK_SECONDS)

    # -- what makes rare points be reached ----------------------------------------------------------------------

    async def prepare(self) -> None:
        """Make the source that may send little."""
        async with self._ingest() as client:
            answer = await client.post("/v1/sources", json={"name": SLOW, "events_per_second": 1}, headers=self._admin)
            answer.raise_for_status()
            self._slow_key = answer.json()["secret_key"]

    async def send_too_much(self) -> None:
        """Use up what the slow source may send, with items that are nothing; then one more, under a key."""
        sent = {"Authorization": f"Bearer {self._slow_key}", "Content-Type": "application/json"}
        with suppress(httpx.TransportError):
            async with self._ingest() as client:
                await client.post("/v1/events/batch", content=b'{"events":[%b1]}' % (b"1," * 999), headers=sent)
                await client.post("/v1/events", content=b"1", headers={**sent, "Idempotency-Key": os.urandom(8).hex()})

    async def change_source(self) -> None:
        """A change by the administration of sources."""
        with suppress(httpx.TransportError):
            async with self._ingest() as client:
                await client.patch(f"/v1/sources/{SLOW}", json={"active": True}, headers=self._admin)

    async def make_room(self) -> None:
        """Let one lead be given away that waits for the reserve."""
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(base_url=self.url("routing"), timeout=PATIENCE_SECONDS) as client:
                told = (await client.get("/v1/reps")).raise_for_status().json()
                capacity = next(rep["capacity"] for rep in told["reps"] if rep["id"] == RESERVE)
                await client.patch(f"/v1/reps/{RESERVE}", json={"capacity": capacity + 1})

    def replay(self) -> int:
        """Replay a suspect by `funnel quarantine`; returns the exit code, negative for a signal."""
        ((number,),) = self.rows(
            "SELECT max(id) FROM scoring.quarantine WHERE replayed_at IS NULL AND reason LIKE 'suspect%'"
        )
        return self.stack.funnel("quarantine", "replay", "scoring", str(number)).returncode

    def unread_receipts(self) -> tuple[int, int] | None:
        """A partition of the receipts that metrics has not read to its end, and that end."""
        told = self.stack.funnel("position", "show", "--service", "metrics", "--topic", RECEIPTS, "--json")
        rows = [row for row in json.loads(told.stdout) if row["next"] is not None and row["lag"]]
        return (rows[0]["partition"], rows[0]["next"] + rows[0]["lag"]) if rows else None

    def skip_receipts(self, partition: int, end: int) -> int:
        """Have metrics give up receipts, by `funnel position`; returns the exit code, negative for a signal."""
        skip = ("position", "skip", "metrics", RECEIPTS, str(partition), "--to", str(end), "--yes")
        return self.stack.funnel(*skip).returncode

    def _ingest(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url("ingest"), timeout=PATIENCE_SECONDS)

    def _child(self, name: str) -> ChildState:
        return next(child for child in self.known().children if child.name == name)


@asynccontextmanager
async def stage(history: History) -> AsyncIterator[Stage]:
    """A stack with failpoints in use and none armed, ready; nothing of it is left afterwards."""
    orders = history.folder / "orders"
    orders.mkdir()
    with stack_under_test(on_free_ports() | {failpoints.VARIABLE: str(orders)}) as stack:
        stack.home.path.mkdir(parents=True, exist_ok=True)
        (stack.home.path / "routing.yaml").write_text(_ROUTING, encoding="utf-8")
        up = await asyncio.to_thread(stack.funnel, "up", "--detach")
        if up.returncode:
            raise ChaosError(f"The stack does not come up: {up.stderr}")
        made = Stage(stack, orders, history)
        try:
            await made.until_ready()
            await made.prepare()
            yield made
        finally:
            await made.load.close()


def _not_at_rest(told: Mapping[str, Any]) -> list[str]:
    """What of the ledger is still on its way, or unaccounted."""
    if not told:
        return ["metrics does not answer"]
    wanted = {
        "events": ("in_flight", "spooled", "unaccounted"),
        "outcomes": ("in_flight", "spooled", "unaccounted"),
        "leads": ("pending", "unaccounted"),
        "assignments": ("unpublished", "unaccounted"),
    }
    return [f"{part} {name} {told[part][name]}" for part, names in wanted.items() for name in names if told[part][name]]
