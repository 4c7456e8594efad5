"""The process that owns Kafka, PostgreSQL and the services: starts them in order, restarts the dead, stops them all.

What it does is written to the home's state file as it happens. Killed in any way, it leaves its children running; the
next supervisor of the home finds them by pid and start time and goes on with them and with the data.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psutil

from funnel.embedded import orphans, state
from funnel.embedded.child import SupervisedChild
from funnel.embedded.orphans import Orphan
from funnel.embedded.ports import require_free
from funnel.embedded.probes import service_problems
from funnel.embedded.process import Child, Program
from funnel.embedded.servers import wait_for
from funnel.embedded.stack import SERVICES, Stack
from funnel.embedded.state import Phase, StackState
from funnel.errors import FunnelError

SERVERS: Final = ("postgres", "kafka")
_TICK_SECONDS: Final = 0.05
# Services connect, claim partitions and answer within two seconds; a loaded machine gets the benefit of the doubt.
_READY_SECONDS: Final = 90.0
# A service that was started again this often, and still never got ready, is not going to come up by itself.
_HOPELESS_RESTARTS: Final = 3
# Where nobody has a better word for how a process should be stopped: it was started by another version.
_ORPHAN_GRACE_S: Final = 30.0


class Supervisor:
    """Call `run` once. `stop` may be set from a signal handler or another thread at any time."""

    def __init__(
        self, stack: Stack, stop: threading.Event, report: Callable[[str], None], *, children_end_with_us: bool = False
    ) -> None:
        self._stack = stack
        self._stop = stop
        self._report = report
        self._children_end_with_us = children_end_with_us
        self._children: list[SupervisedChild] = []
        self._phase: Phase = "starting"
        self._step = self._error = ""
        self._recording = threading.Lock()

    def run(self, ready: Callable[[list[str]], None]) -> None:
        """Start everything, call `ready` with a sentence per service that is not, supervise until `stop`, stop all.

        Raises `FunnelError` when the stack cannot be started; then nothing is left running.
        """
        home = self._stack.home
        with home.locked():
            try:
                self._start()
                troubles = self._wait_until_ready()
                if not self._stop.is_set():
                    self._enter("running")
                    ready(troubles)
                while not self._stop.wait(_TICK_SECONDS):
                    self._look_after()
            except FunnelError as error:
                self._error = str(error)
                raise
            finally:
                self._enter("stopping")
                self._report("stopping the services, then the servers")
                stop_in_order(self._children)
                if self._error:
                    self._enter("failed")
                else:
                    state.clear(home)

    def _start(self) -> None:
        """Servers, then tables and topics, then services; orphans that fit are taken over where they stand."""
        stack = self._stack
        left = orphans.find(stack.home.path, state.read(stack.home))
        if not left:
            self._require_free_ports(())
        programs = [*self._prepare_servers(), *stack.services()]
        self._children = [
            SupervisedChild(stack.home, program, stack.url_of(program.name), ends_with_us=self._children_end_with_us)
            for program in programs
        ]
        adopted = self._take_over(left)
        self._require_free_ports(adopted)
        self._record()
        servers = [child for child in self._children if child.name in SERVERS]
        self._start_missing(servers)
        self._prepare_content()
        services = [child for child in self._children if child.name in SERVICES]
        if any(child.child is None for child in services):
            self._say("starting the services")
        self._start_missing(services)

    def _prepare_servers(self) -> list[Program]:
        servers = [server for server in (self._stack.postgres, self._stack.kafka) if server]
        with ThreadPoolExecutor(len(SERVERS)) as pool:
            return [self._stack.marked(program) for program in pool.map(lambda s: s.prepare(self._say), servers)]

    def _take_over(self, left: Sequence[Orphan]) -> set[str]:
        """Adopt or stop the orphans; returns the names of the adopted."""
        by_name = {child.name: child for child in self._children}
        adopted, others = orphans.choose(left, {name: child.fingerprint for name, child in by_name.items()})
        stop_orphans(others)
        for name, orphan in adopted.items():
            self._say(f"taking over {name} (process {orphan.identity.pid}) of an earlier run")
            by_name[name].adopt(orphan)
        return set(adopted)

    def _require_free_ports(self, adopted: Iterable[str]) -> None:
        for port in self._stack.ports():
            if port.child not in adopted:
                require_free(port.host, port.number, port.child, port.setting)

    def _start_missing(self, children: Iterable[SupervisedChild]) -> None:
        for child in children:
            if self._stop.is_set():
                return
            if child.child is None:
                child.start()
            self._record()

    def _prepare_content(self) -> None:
        """Wait for both servers; bring the tables and the topics up to date, each as soon as its server answers."""
        with ThreadPoolExecutor(len(SERVERS)) as pool:
            for work in [pool.submit(self._prepare_tables), pool.submit(self._prepare_topics)]:
                work.result()

    def _prepare_tables(self) -> None:
        from funnel.postgres.migrate import migrate

        if self._stack.postgres:
            self._await_server("postgres", self._stack.postgres.answers)
            if not self._stop.is_set():
                self._stack.postgres.ensure_database()
        if not self._stop.is_set():
            self._say("bringing the tables up to date")
            migrate(self._stack.dsn)
            self._say("the tables are up to date")

    def _prepare_topics(self) -> None:
        from funnel import topics

        if self._stack.kafka:
            self._await_server("kafka", self._stack.kafka.answers)
        if self._stop.is_set():
            return
        self._say("creating missing topics")
        environment: topics.Environment = "embedded" if self._stack.waives_replication else "production"
        prefix = self._stack.settings.topic_prefix
        for difference in asyncio.run(
            topics.ensure_topics(self._stack.bootstrap, prefix=prefix, environment=environment)
        ):
            self._say(f"note: {difference}")

    def _await_server(self, name: str, answers: Callable[[], bool]) -> None:
        self._say(f"waiting for {name}")
        process = next(child.child for child in self._children if child.name == name)
        if process is not None:
            wait_for(lambda: self._stop.is_set() or answers(), process)

    def _wait_until_ready(self) -> list[str]:
        """Look after the children until each service is ready; returns a sentence per service that is not."""
        services = [child for child in self._children if child.name in SERVICES]
        deadline = time.monotonic() + _READY_SECONDS
        troubles: list[str] = []
        while not self._stop.wait(_TICK_SECONDS):
            self._look_after()
            found = {child: service_problems(child.url) for child in services}
            troubles = [
                f"{child.name} is not ready: {child.reason or problem}" for child, problem in found.items() if problem
            ]
            hopeless = any(problem and child.restarts >= _HOPELESS_RESTARTS for child, problem in found.items())
            if not troubles or hopeless or time.monotonic() > deadline:
                break
        return troubles

    def _look_after(self) -> None:
        """Notice the dead and start again whose time has come."""
        changed = False
        for child in self._children:
            if child.died():
                changed = True
                self._report(f"{child.name} ended: {child.reason}")
            if child.restart_when_due():
                changed = True
                self._report(f"{child.name} started again ({child.restarts} times so far)")
        if changed:
            self._record()

    def _say(self, step: str) -> None:
        self._step = step
        self._report(step)
        self._record()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._record()

    def _record(self) -> None:
        me = psutil.Process(os.getpid())
        with self._recording, contextlib.suppress(OSError):  # a full disk must not end the supervision of what runs
            state.write(
                self._stack.home,
                StackState(
                    supervisor_pid=me.pid,
                    supervisor_started=me.create_time(),
                    phase=self._phase,
                    step=self._step,
                    error=self._error,
                    kafka_bootstrap=self._stack.bootstrap,
                    postgres_dsn=self._stack.dsn,
                    environment=self._stack.environment(),
                    children=[child.state() for child in self._children],
                ),
            )


def stop_in_order(children: Sequence[SupervisedChild]) -> None:
    """The services first, while they can still finish and store their work; then the servers under them."""
    for names in (SERVICES, SERVERS):
        _stop_together([child.child for child in children if child.name in names and child.child])


def stop_orphans(left: Sequence[Orphan]) -> None:
    """The same for processes nobody owns."""
    for names in (SERVICES, SERVERS):
        _stop_together([_as_child(orphan) for orphan in left if orphan.name in names])


def _as_child(orphan: Orphan) -> Child:
    fast = signal.SIGINT if orphan.name == "postgres" else signal.SIGTERM
    program = Program(orphan.name, (), stop_signal=fast, stop_grace_s=_ORPHAN_GRACE_S)
    return Child.adopt(program, orphan.identity, Path(os.devnull))


def _stop_together(children: Sequence[Child]) -> None:
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.await_end()
