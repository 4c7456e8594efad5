"""Starting a stack in this process or in one of its own, stopping it, and asking how it is."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from funnel.embedded import orphans, state
from funnel.embedded.errors import StackError, explain_os_errors
from funnel.embedded.home import Home
from funnel.embedded.kafka import KafkaServer
from funnel.embedded.postgres import answers as postgres_answers
from funnel.embedded.probes import service_problems
from funnel.embedded.stack import SERVICES, Stack
from funnel.embedded.state import ChildState, StackState
from funnel.embedded.supervisor import Supervisor, stop_orphans
from funnel.settings import Settings

_POLL_SECONDS: Final = 0.05
# Stopping takes as long as the slowest child's grace, for the services and then for the servers.
_STOP_SECONDS: Final = 90.0


class Process(msgspec.Struct, frozen=True):
    """One line of `funnel status`. `detail` says in one line what is wrong, or what went wrong before."""

    name: str
    pid: int | None
    url: str
    ready: bool
    detail: str


class Status(msgspec.Struct, frozen=True):
    """What runs on a home, asked just now; no processes when nothing does."""

    processes: list[Process]
    kafka: dict[str, str | None]
    postgres: dict[str, str | None]
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """The documented shape of `funnel status --json`."""
        return {
            "processes": [msgspec.to_builtins(process) for process in self.processes],
            "kafka": self.kafka,
            "postgres": self.postgres,
        }


def supervise(settings: Settings, report: Callable[[str], None], ready: Callable[[list[str]], None]) -> None:
    """Run a stack in this process until it is told to stop (SIGINT, SIGTERM, SIGHUP); must be the main thread.

    Raises `FunnelError` when it cannot be started; then nothing is left running.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    Supervisor(Stack.plan(settings), stop, report).run(ready)


def start_detached(settings: Settings, report: Callable[[str], None]) -> Status:
    """Start a supervisor that outlives this process, and return once the stack is up.

    Raises `StackError` with its reason when it gives up. A service that is not ready is in the returned status.
    """
    home = Home.at(settings.home)
    log = home.log_of("supervisor")
    with explain_os_errors("starting the supervisor", log), log.open("ab") as output:
        log_from = output.tell()
        supervisor = subprocess.Popen(
            (sys.executable, "-P", "-m", "funnel.embedded"),
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    shown = ""
    try:
        while True:
            ended = supervisor.poll() is not None
            known = state.read(home)
            if ended:
                raise StackError(_last_line(log, log_from) or f"The supervisor ended at once; see {log}.")
            if known and known.supervisor_pid == supervisor.pid:
                if known.step not in ("", shown):
                    shown = known.step
                    report(shown)
                if known.phase == "running":
                    supervisor.returncode = 0  # it stays behind on purpose
                    return ask(home)
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.wait()
        raise


def _last_line(log: Path, since: int) -> str:
    """The supervisor's closing sentence."""
    written = log.read_bytes()[since:].decode("utf-8", "replace").strip()
    return written.rpartition("\n")[2]


def stop(home: Home, report: Callable[[str], None]) -> bool:
    """Stop whatever runs on `home`, orphans of a killed supervisor included. False when nothing ran.

    Raises `StackError` when the supervisor does not end.
    """
    known = state.read(home)
    supervisor = known.supervisor.find() if known else None
    if supervisor is not None:
        report("stopping the services, then Kafka and PostgreSQL")
        supervisor.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while known and known.supervisor.find() is not None:
            if time.monotonic() > deadline:
                raise StackError(f"The supervisor (process {known.supervisor_pid}) does not end; see {home.logs}.")
            time.sleep(_POLL_SECONDS)
        return True
    with home.locked():
        left = orphans.find(home.path, known)
        if left:
            report("stopping " + ", ".join(orphan.name for orphan in left))
            stop_orphans(left)
        state.clear(home)
    return bool(left)


def ask(home: Home) -> Status:
    """Ask every process of the stack on `home` whether it is ready."""
    known = state.read(home)
    if known is None:
        return Status([], {"bootstrap": None}, {"dsn": None})
    with ThreadPoolExecutor(len(known.children) or 1) as pool:
        processes = list(pool.map(_ask_child, known.children))
    return Status(processes, {"bootstrap": known.kafka_bootstrap}, {"dsn": known.postgres_dsn}, _note(known))


def _note(known: StackState) -> str:
    """What is to be said about the stack as a whole."""
    if known.error:
        return known.error
    if known.supervisor.find() is None:
        return "The supervisor is gone; `funnel up` takes over what still runs, `funnel down` stops it."
    return "" if known.phase == "running" else f"The stack is {known.phase}: {known.step}."


def _ask_child(child: ChildState) -> Process:
    if child.identity is None or child.identity.find() is None:
        return Process(child.name, None, child.url, ready=False, detail=f"not running: {child.reason or 'it ended'}")
    problem = _problem(child)
    again = f"started again {child.restarts} times, last after: {child.reason}" if child.restarts else ""
    detail = "; ".join(part for part in (problem, again) if part)
    return Process(child.name, child.pid, child.url, ready=not problem, detail=detail)


def _problem(child: ChildState) -> str:
    if child.name in SERVICES:
        return service_problems(child.url)
    if child.name == "kafka":
        answers = KafkaServer(Path(), int(child.url.rpartition(":")[2])).answers()
    else:
        answers = postgres_answers(child.url)
    return "" if answers else "does not answer"


def join(settings: Settings) -> dict[str, str]:
    """`FUNNEL_*` variables that lead a command to the stack of `settings.home`, running or about to run.

    When the settings name both servers themselves, only what opens the ingest of the home.
    """
    home = Home(settings.home.expanduser().resolve())
    if settings.kafka_bootstrap and settings.postgres_dsn:
        return _kept(home, "admin_token")
    known = state.read(home)
    told = dict(known.environment) if known else Stack.at(home, settings).environment()
    return told | _kept(home, "key_secret", "admin_token")


def _kept(home: Home, *names: str) -> dict[str, str]:
    """The secrets that `home` has a file of, as `FUNNEL_*` variables."""
    files = {f"FUNNEL_{name.upper()}": home.path / name for name in names}
    return {name: file.read_text(encoding="ascii").strip() for name, file in files.items() if file.exists()}


@contextmanager
def running_stack(settings: Settings, report: Callable[[str], None]) -> Iterator[Settings]:
    """A whole stack for the length of a `with` block; the value are settings that lead to it.

    Its children end with this process, however that ends (on Linux). Raises `FunnelError` when it cannot be started,
    or a service does not get ready.
    """
    stack = Stack.plan(settings)
    stopping, up = threading.Event(), threading.Event()
    troubles: list[str] = []

    def ready(found: list[str]) -> None:
        troubles.extend(found)
        up.set()

    supervisor = Supervisor(stack, stopping, report, children_end_with_us=True)
    with ThreadPoolExecutor(1, thread_name_prefix="supervisor") as thread:
        life = thread.submit(supervisor.run, ready)
        life.add_done_callback(lambda _: up.set())
        try:
            up.wait()
            if life.done():
                life.result()
            if troubles:
                raise StackError("; ".join(troubles))
            yield _settings_for(stack)
        finally:
            stopping.set()


def _settings_for(stack: Stack) -> Settings:
    told = {name.removeprefix("FUNNEL_").lower(): value for name, value in stack.environment().items()}
    secrets = {"key_secret": stack.key_secret(), "admin_token": stack.admin_token()}
    return Settings(**{**stack.settings.model_dump(), **told, **secrets})
