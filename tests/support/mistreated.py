"""A server of a test's own, to be frozen, killed, stopped and started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path

import psutil

from funnel.embedded.kafka import KafkaServer
from funnel.embedded.postgres import PostgresServer
from funnel.embedded.process import Child
from funnel.embedded.servers import wait_for


def await_stillness(pid: int) -> None:
    """Wait until every thread of a process that was sent SIGSTOP has stopped: on a busy machine some go on a while."""
    while not all(_is_still(thread) for thread in Path(f"/proc/{pid}/task").glob("*/stat")):
        time.sleep(0.01)


def _is_still(thread: Path) -> bool:
    try:
        state = thread.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True  # it has ended
    return state in "TtZX"


class Mistreated:
    """Kafka or PostgreSQL with its data in `server.folder`; not running until `start`."""

    def __init__(self, server: KafkaServer | PostgresServer, log: Path) -> None:
        self._server = server
        self._log = log
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it unless it runs, thaw it, and wait until it answers. The process is tied to the calling thread."""
        if self._child is not None and self._child.running():
            self.thaw()
        else:
            self._child = Child.start(self._server.prepare(lambda _: None), self._log, ends_with_us=True)
        await asyncio.to_thread(wait_for, self._server.answers, self._child)

    def freeze(self) -> None:
        """Stop it and all it has started: the first round stops whoever starts processes, the second finds them all."""
        for _ in range(2):
            processes = self._processes()
            self._signal(signal.SIGSTOP)
        for process in processes:
            await_stillness(process.pid)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a chance to finish anything."""
        assert self._child is not None
        processes = self._processes()
        self._signal(signal.SIGKILL)
        self._child.await_end()
        psutil.wait_procs(processes)

    def stop(self) -> None:
        if self._child is not None and self._child.running():
            self.thaw()
            self._child.stop()

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _processes(self) -> list[psutil.Process]:
        """The server and, for PostgreSQL, the processes it has for its sessions."""
        assert self._child is not None
        process = psutil.Process(self._child.identity.pid)
        return [process, *process.children(recursive=True)]
