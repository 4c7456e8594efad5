"""A PostgreSQL primary and its standby on this machine, to be failed over, frozen, killed and cut apart.

    with postgres_pair(synchronous=True) as pair:
        migrate(pair.dsn)                  # both hosts: clients find the primary by themselves
        pair.primary.kill()                # also: freeze(), thaw(), stop(), start()
        pair.promote()                     # from here on `pair.primary` is the other server, on a new timeline
        pair.rejoin()                      # the old primary comes back as the standby (pg_rewind)

For a lost tail, `synchronous=False` and `pair.cut()` before the commits that shall be lost; `pair.mend()` undoes it.
An old primary that nobody fenced: `promote()` while it runs; one that was demoted: `pair.standby.read_only()`.

The servers listen on free ports of 127.0.0.1, trust everybody there, and end with the thread that started them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg

from funnel.embedded.folders import place_folder
from funnel.embedded.ports import free_port
from funnel.embedded.postgres import PostgresServer, answers, binary, let_others_pass, server_user
from funnel.embedded.process import Child, Program, run_tool
from funnel.embedded.servers import wait_for

HOST = "127.0.0.1"
DATABASE = "funnel"
WAIT_SECONDS = 120.0
"""After this long, what is waited for will never come."""

_SETTINGS = {
    "listen_addresses": HOST,
    "wal_keep_size": "512MB",  # what `rejoin` reads back to
    "wal_retrieve_retry_interval": "200ms",  # how soon a standby connects again after `mend`
}


class Node:
    """One of the two servers: its data in a folder of its own, its port for good."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = free_port()
        self.server = PostgresServer(folder / name / "data")
        self._child: Child | None = None

    def dsn_of(self, database: str) -> str:
        """URL of `database` on this server alone, whatever its role."""
        return f"postgresql://postgres@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Start it unless it runs (then thaw it), in the role its data folder says, and wait until it answers."""
        if self._child is not None and self._child.running():
            self.thaw()
        else:
            program = self.server.prepare(lambda _: None)
            settings = {**_SETTINGS, "port": str(self.port)}
            argv = (*program.argv, *(f"--{name}={value}" for name, value in settings.items()))
            log = self.server.folder.with_name("log")
            self._child = Child.start(replace(program, name=self.name, argv=argv), log, ends_with_us=True)
        wait_for(lambda: answers(self.dsn_of("postgres")), self._child)

    def stop(self) -> None:
        """Shut it down in good order."""
        if self._child is not None and self._child.running():
            self.thaw()
            self._child.stop()

    def kill(self) -> None:
        """End it and its sessions at once, without a chance to finish anything."""
        processes = self._processes()
        _send(processes, signal.SIGKILL)
        psutil.wait_procs(processes)
        if self._child is not None:
            self._child.await_end()

    def freeze(self) -> None:
        """Stop it and all it has started: the first round stops whoever starts processes, the second finds them all."""
        for _ in range(2):
            _send(self._processes(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        _send(self._processes(), signal.SIGCONT)

    def running(self) -> bool:
        """Whether its process lives, frozen or not."""
        return self._child is not None and self._child.running()

    def read_only(self) -> None:
        """Demote it as far as clients see: it accepts connections and refuses every write (SQLSTATE 25006)."""
        self.configure("default_transaction_read_only", "on")

    def configure(self, setting: LiteralString, value: str) -> None:
        """Set a setting that needs no restart, for every session."""
        literal = psycopg.sql.Literal(value)
        self.execute(psycopg.sql.SQL("ALTER SYSTEM SET {} = {}").format(psycopg.sql.Identifier(setting), literal))
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: LiteralString | psycopg.sql.Composed) -> list[tuple[Any, ...]]:
        """Run one statement outside a transaction; the rows, if it gives any."""
        with psycopg.connect(self.dsn_of("postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def copy_of(self, primary: Node) -> None:
        """Make the data folder of a standby of `primary`, which must run; not started yet."""
        owner = server_user()

        def fill(staging: Path) -> None:
            if owner:
                let_others_pass(staging)
                os.chown(staging, owner.pw_uid, owner.pw_gid)
            staging.chmod(0o700)
            source = primary.conninfo(self.name)
            argv = (str(binary("pg_basebackup")), "-D", str(staging), "-d", source, "-c", "fast", "-X", "stream")
            self._run("pg_basebackup", argv)
            self._follow(staging, source)

        place_folder(self.server.folder, fill)

    def rewind_to(self, primary: Node) -> None:
        """Make this stopped server, which was primary before, a standby of `primary`; not started yet."""
        folder, source = self.server.folder, primary.conninfo(self.name)
        argv = (str(binary("pg_rewind")), "-D", str(folder), "--source-server", f"{source} dbname=postgres")
        self._run("pg_rewind", argv)
        self._follow(folder, source)

    def conninfo(self, application_name: str) -> str:
        """How a standby reaches this server."""
        return f"host={HOST} port={self.port} user=postgres application_name={application_name}"

    def _follow(self, folder: Path, source: str) -> None:
        with (folder / "postgresql.auto.conf").open("a", encoding="ascii") as settings:
            settings.write(f"primary_conninfo = '{source}'\nsynchronous_standby_names = ''\n")
        signal_file = folder / "standby.signal"
        signal_file.touch()
        if owner := server_user():
            os.chown(signal_file, owner.pw_uid, owner.pw_gid)

    def _run(self, name: str, argv: tuple[str, ...]) -> None:
        owner = server_user()
        user, group = (owner.pw_uid, owner.pw_gid) if owner else (None, None)
        run_tool(Program(name, argv, user=user, group=group), "making a standby", self.server.folder)

    def _processes(self) -> list[psutil.Process]:
        """The server and the processes it has for its sessions."""
        if self._child is None or (process := self._child.identity.find()) is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            return [process, *process.children(recursive=True)]
        return []


class PostgresPair:
    """`primary` and `standby` name roles, and change places with `promote`."""

    def __init__(self, folder: Path, *, synchronous: bool) -> None:
        self.primary, self.standby = Node("one", folder), Node("two", folder)
        self._nodes = (self.primary, self.standby)
        self._synchronous = synchronous
        self._conninfo = ""

    @property
    def dsn(self) -> str:
        """URL of the product's database, naming both servers."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """URL of `database` that names both servers, always in the same order."""
        hosts = ",".join(f"{HOST}:{node.port}" for node in self._nodes)
        return f"postgresql://postgres@{hosts}/{database}"

    def start(self) -> None:
        """Make and start both, with an empty database; returns when the standby follows."""
        self.primary.start()
        self.primary.execute("CREATE DATABASE funnel")
        self.standby.copy_of(self.primary)
        self.standby.start()
        self._follow()

    def promote(self) -> None:
        """Make the standby the primary, on a new timeline, whatever became of the old one. It writes on its own."""
        new = self.standby
        new.configure("synchronous_standby_names", "")
        new.execute("SELECT pg_promote(wait => false)")
        _until(lambda: new.execute("SELECT NOT pg_is_in_recovery()") == [(True,)])
        self.primary, self.standby = new, self.primary

    def rejoin(self) -> None:
        """Bring the other server back as a standby of the primary; what only it had is thrown away."""
        self.standby.start()
        self.standby.stop()  # pg_rewind wants it shut down in good order
        self.standby.rewind_to(self.primary)
        self.standby.start()
        self._follow()

    def cut(self) -> None:
        """Stop the flow to the standby: what is committed from here on it never gets, until `mend`.

        A synchronous primary then answers no COMMIT.
        """
        self._conninfo = self.standby.execute("SHOW primary_conninfo")[0][0]
        self.standby.configure("primary_conninfo", "")
        _until(lambda: not self.standby.execute("SELECT 1 FROM pg_stat_wal_receiver"))

    def mend(self) -> None:
        """Undo `cut`; returns when the standby has everything."""
        self.standby.configure("primary_conninfo", self._conninfo)
        self.catch_up()

    def catch_up(self) -> None:
        """Return when the standby has applied all that the primary has written so far."""
        (end,) = self.primary.execute("SELECT pg_current_wal_flush_lsn()::text")[0]
        _until(lambda: self._applied(end))

    def close(self) -> None:
        """End both, without good order: nobody needs their data any more."""
        for node in self._nodes:
            node.kill()

    def _follow(self) -> None:
        if self._synchronous:
            self.primary.configure("synchronous_standby_names", self.standby.name)
            _until(lambda: self.primary.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)])
        self.catch_up()

    def _applied(self, lsn: str) -> bool:
        reached = psycopg.sql.SQL("SELECT coalesce(pg_last_wal_replay_lsn() >= {}::pg_lsn, false)").format(lsn)
        return self.standby.execute(reached) == [(True,)]


@contextmanager
def postgres_pair(*, synchronous: bool, folder: Path | None = None) -> Iterator[PostgresPair]:
    """A running pair with an empty database `funnel`, its data in `folder` (None: a temporary one, removed).

    Raises `StackError` when a server does not come up.
    """
    home = folder or Path(tempfile.mkdtemp(prefix="funnel-pair-"))
    pair = PostgresPair(home, synchronous=synchronous)
    try:
        pair.start()
        yield pair
    finally:
        pair.close()
        if folder is None:
            shutil.rmtree(home, ignore_errors=True)


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The Postgres pair has not got there after {WAIT_SECONDS:g} s.")
        time.sleep(0.02)
