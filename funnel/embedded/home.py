"""FUNNEL_HOME: where a stack keeps its data, its logs and what is running now."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from funnel.embedded.errors import StackError, explain_os_errors


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one stack; `path` is absolute."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> Home:
        """The home at `path`, made when there is none. Raises `StackError` when it cannot be written."""
        home = cls(path.expanduser().resolve())
        with explain_os_errors("making the data folder", home.path):
            for folder in (home.logs, home.reasons):
                folder.mkdir(parents=True, exist_ok=True)
        return home

    @property
    def kafka(self) -> Path:
        return self.path / "kafka"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def reasons(self) -> Path:
        return self.run / "reasons"

    @property
    def state_file(self) -> Path:
        return self.run / "state.json"

    def log_of(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def reason_file_of(self, name: str) -> Path:
        """Where a service that stops on purpose leaves one sentence about why."""
        return self.reasons / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for one supervisor; the lock ends with the process, however that ends.

        Raises `StackError` when another process holds it.
        """
        with (self.run / "lock").open("a+", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise StackError(
                    f"A stack is already running on {self.path} (process {lock.read().strip() or 'unknown'}); "
                    "see `funnel status`, or stop it with `funnel down`."
                ) from error
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    @property
    def development_keys_file(self) -> Path:
        return self.path / "development_keys.json"

    def key_secret(self) -> str:
        """The secret of the keyed hash of record keys: made once, readable by its owner only."""
        return _kept_secret(self.path / "key_secret")

    def admin_token(self) -> str:
        """What opens the administration of sources: made once, readable by its owner only."""
        return _kept_secret(self.path / "admin_token")


def _kept_secret(path: Path) -> str:
    """The secret in the file at `path`; made when there is none, readable by its owner only."""
    with explain_os_errors(f"making the {path.name.replace('_', ' ')}", path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text(encoding="ascii").strip()
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            secret = secrets.token_hex(32)
            file.write(secret)
            os.fsync(file.fileno())
    return secret
