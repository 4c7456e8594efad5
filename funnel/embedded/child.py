"""One supervised process: alive, or waiting to be started again."""

from __future__ import annotations

import time

from funnel.embedded import backoff
from funnel.embedded.errors import StackError
from funnel.embedded.home import Home
from funnel.embedded.orphans import Orphan, fingerprint
from funnel.embedded.process import Child, Program
from funnel.embedded.state import ChildState


class SupervisedChild:
    """Starts its program, notices its death, knows why, and says when it is time to start it again."""

    def __init__(self, home: Home, program: Program, url: str, *, ends_with_us: bool) -> None:
        self.program = program
        self.fingerprint = fingerprint(program)
        self.url = url
        self.restarts = 0
        self.quick_deaths = 0
        self.reason = ""
        self._home = home
        self._ends_with_us = ends_with_us
        self._child: Child | None = None
        self._began = 0.0
        self._due = 0.0

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def child(self) -> Child | None:
        """The process, or None while it waits."""
        return self._child

    def adopt(self, orphan: Orphan) -> None:
        """Take over a live process of an earlier supervisor."""
        self._child = Child.adopt(self.program, orphan.identity, self._home.log_of(self.name))
        self._began = time.monotonic()

    def start(self) -> Child:
        """Start the program. Raises `StackError` when that is not possible."""
        self._home.reason_file_of(self.name).unlink(missing_ok=True)
        self._began = time.monotonic()
        self._child = Child.start(self.program, self._home.log_of(self.name), ends_with_us=self._ends_with_us)
        return self._child

    def died(self) -> bool:
        """Notice a death: True the first time it is seen; then the next start is due after the back-off."""
        if self._child is None or self._child.running():
            return False
        self._fell(self._why(self._child))
        self._child = None
        return True

    def restart_when_due(self) -> bool:
        """Start again if it is time; True when something changed. A start that fails counts as a death."""
        if self._child is not None or time.monotonic() < self._due:
            return False
        try:
            self.start()
            self.restarts += 1
        except StackError as error:
            self._fell(str(error))
        return True

    def _fell(self, reason: str) -> None:
        now = time.monotonic()
        self.reason = reason
        self.quick_deaths = backoff.quick_deaths_after(self.quick_deaths, now - self._began)
        self._due = now + backoff.delay_s(self.quick_deaths)

    def _why(self, child: Child) -> str:
        """The sentence a service left on purpose, else how it ended and the last thing it wrote."""
        try:
            said = self._home.reason_file_of(self.name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            said = ""
        return said or child.why_ended()

    def state(self) -> ChildState:
        """What to write down about it."""
        identity = self._child.identity if self._child else None
        return ChildState(
            name=self.name,
            fingerprint=self.fingerprint,
            url=self.url,
            pid=identity.pid if identity else None,
            started=identity.started if identity else 0.0,
            restarts=self.restarts,
            reason=self.reason,
        )
