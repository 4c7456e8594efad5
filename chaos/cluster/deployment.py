"""The product under test: `funnel up` as a process of its own, and more replicas of its services beside it.

The product's own supervisor restarts the four services; the further replicas are restarted here, by the same rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import psutil

from chaos.cluster.ports import free_ports
from chaos.errors import ChaosError, RowFailed
from funnel.embedded import state
from funnel.embedded.child import SupervisedChild
from funnel.embedded.home import Home
from funnel.embedded.orphans import NAME_VARIABLE
from funnel.embedded.probes import service_problems
from funnel.embedded.process import Child, Identity, Program
from funnel.embedded.running import Status, ask
from funnel.embedded.stack import SERVICES, Stack
from funnel.settings import Settings

_TICK_SECONDS: Final = 0.05
_UP_SECONDS: Final = 150.0
_PID_SECONDS: Final = 90.0


@dataclass(slots=True)
class _Replica:
    service: str
    url: str
    child: SupervisedChild
    wanted: bool = True


@dataclass(slots=True)
class Deployment:
    """Services are named `ingest`, `scoring`, `routing`, `metrics`, further replicas `scoring-2`, `scoring-3` ..

    `environment` are variables of every process beside those of `settings`. Only for the thread that runs the matrix.
    """

    settings: Settings
    environment: Mapping[str, str] = field(default_factory=dict)
    _supervisor: Child | None = None
    _replicas: dict[str, _Replica] = field(default_factory=dict)
    _looking: asyncio.Task[None] | None = None
    _numbers: dict[str, int] = field(default_factory=dict)

    @property
    def home(self) -> Home:
        return Home.at(self.settings.home)

    async def start(self) -> None:
        """Start the four; returns when they are ready. Raises ChaosError."""
        program = Program("supervisor", (sys.executable, "-P", "-m", "funnel.embedded"), self._told(), stop_grace_s=90)
        self._supervisor = Child.start(program, self.home.log_of("supervisor"), ends_with_us=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_UP_SECONDS):
                while self._supervisor.running():
                    known = state.read(self.home)
                    if known and known.phase == "running" and not await self.troubles():
                        self._looking = asyncio.create_task(self._look_after())
                        return
                    await asyncio.sleep(_TICK_SECONDS)
        said = "; ".join(await self.troubles()) or self._supervisor.why_ended()
        raise ChaosError(f"The product does not come up: {said}; see {self.home.logs}.")

    async def stop(self) -> None:
        """End everything, in good order as far as it goes."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for name in self.names():
            self._signal(name, signal.SIGCONT)
        for replica in self._replicas.values():
            if replica.child.child:
                replica.child.child.ask_to_stop()
        for replica in self._replicas.values():
            if replica.child.child:
                await asyncio.to_thread(replica.child.child.await_end)
        if self._supervisor is not None:
            await asyncio.to_thread(self._supervisor.stop)

    def names(self) -> list[str]:
        """All processes of the product, dead or alive."""
        return [*SERVICES, *self._replicas]

    def urls(self, service: str) -> list[str]:
        """Base URLs of all replicas of a service."""
        further = [replica.url for replica in self._replicas.values() if replica.service == service and replica.wanted]
        return [self.settings.url_of(service), *further]

    def replicas(self, service: str) -> list[str]:
        """Names of all replicas of a service that are to run."""
        return [service, *(n for n, one in self._replicas.items() if one.service == service and one.wanted)]

    def add(self, service: str, environment: Mapping[str, str] | None = None) -> str:
        """Start one more replica of a service; its name. It is restarted when it dies, until `remove`."""
        number = self._numbers[service] = self._numbers.get(service, 1) + 1
        name, (port,) = f"{service}-{number}", free_ports(1)
        plain = next(one for one in Stack.plan(self.settings).services() if one.name == service)
        told = {variable: value for variable, value in plain.environment.items() if variable != NAME_VARIABLE}
        own = {
            f"FUNNEL_{service.upper()}_PORT": str(port),
            "FUNNEL_REASON_FILE": str(self.home.reason_file_of(name)),
            "FUNNEL_REPLICA": f"{plain.environment['FUNNEL_REPLICA']}-{number}",
        }
        program = replace(plain, name=name, environment={**told, **self.environment, **own, **(environment or {})})
        url = f"http://{self.settings.host}:{port}"
        child = SupervisedChild(self.home, program, url, ends_with_us=True)
        child.start()
        self._replicas[name] = _Replica(service, url, child)
        return name

    async def remove(self, name: str) -> None:
        """Stop a further replica with SIGTERM, for good; returns when it has ended."""
        replica = self._replicas[name]
        replica.wanted = False
        if replica.child.child:
            self._signal(name, signal.SIGCONT)
            await asyncio.to_thread(replica.child.child.stop)

    async def pid(self, name: str) -> int:
        """The pid of a process, once it runs (again). Raises RowFailed when it stays away."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PID_SECONDS):
                while (identity := self._identity(name)) is None or identity.find() is None:  # noqa: ASYNC110
                    await asyncio.sleep(_TICK_SECONDS)
                return identity.pid
        raise RowFailed(f"{name} is not started again after {_PID_SECONDS:.0f} s")

    async def kill(self, name: str) -> int:
        """kill -9, and wait until the process is gone; its pid."""
        pid = await self.pid(name)
        process = psutil.Process(pid)
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(psutil.wait_procs, [process], 10)
        return pid

    async def terminate(self, name: str) -> int:
        """SIGTERM; returns at once. Its supervisor starts it again when it has ended."""
        pid = await self.pid(name)
        os.kill(pid, signal.SIGTERM)
        return pid

    async def freeze(self, name: str) -> int:
        """SIGSTOP: its connections stay, its leases run out; its pid."""
        pid = await self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        return pid

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self._signal(name, signal.SIGCONT)

    async def status(self) -> Status:
        """What `funnel status` says."""
        return await asyncio.to_thread(ask, self.home)

    async def troubles(self) -> list[str]:
        """A sentence for each process that is not ready."""
        found = []
        for name in self.names():
            replica = self._replicas.get(name)
            if replica is None or replica.wanted:
                url = replica.url if replica else self.settings.url_of(name)
                if problem := await asyncio.to_thread(service_problems, url):
                    found.append(f"{name} is not ready: {problem}")
        return found

    def restarts(self) -> dict[str, int]:
        """How often each process was started again so far."""
        known = state.read(self.home)
        counted = {child.name: child.restarts for child in (known.children if known else ())}
        return counted | {name: replica.child.restarts for name, replica in self._replicas.items()}

    def _identity(self, name: str) -> Identity | None:
        if name in self._replicas:
            child = self._replicas[name].child.child
            return child.identity if child else None
        known = state.read(self.home)
        return next((child.identity for child in (known.children if known else ()) if child.name == name), None)

    def _signal(self, name: str, number: signal.Signals) -> None:
        identity = self._identity(name)
        if identity is not None and (process := identity.find()) is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    async def _look_after(self) -> None:
        """Restart further replicas that died."""
        while True:
            for replica in self._replicas.values():
                if replica.wanted:
                    replica.child.died()
                    replica.child.restart_when_due()
            await asyncio.sleep(_TICK_SECONDS)

    def _told(self) -> dict[str, str]:
        values: dict[str, Any] = self.settings.model_dump(exclude={"replica"})
        told = {f"FUNNEL_{name.upper()}": "" if value is None else str(value) for name, value in values.items()}
        return told | dict(self.environment)
