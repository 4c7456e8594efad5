"""What was measured on what: everything a figure means nothing without."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import psutil
import psycopg

from bench.errors import BenchError
from bench.servers import Servers

_PACKAGES = ("aiokafka", "asyncpg", "confluent-kafka", "fastapi", "msgspec", "uvicorn", "uvloop")
_DURABILITY = ("fsync", "full_page_writes", "synchronous_commit", "wal_sync_method")
_KAFKA_JAR = re.compile(r"kafka_2\.\d+-(\d+(?:\.\d+)+)\.jar")


def versions(servers: Servers, faust_python: str | None) -> dict[str, str]:
    """Version by part. Raises BenchError when `faust_python` has no faust-streaming."""
    with psycopg.connect(servers.postgres_dsn) as connection:
        postgres = str(connection.info.parameter_status("server_version"))
    return {
        "kafka": _kafka(servers.kafka),
        "postgres": postgres,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        **({"faust-streaming": _faust(faust_python)} if faust_python else {}),
    }


def machine(servers: Servers, data: Path) -> dict[str, str | int | bool]:
    """The machine, and how durable its Postgres is. `data` is the folder of the servers' data."""
    with psycopg.connect(servers.postgres_dsn) as connection:
        durability = {name: str(connection.execute(f"SHOW {name}").fetchone()[0]) for name in _DURABILITY}  # type: ignore[index]
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_mib": psutil.virtual_memory().total // 1024**2,
        "own_servers": servers.own,
        "file_system": _file_system(data) if servers.own else "unknown",
        **durability,
    }


def _faust(python: str) -> str:
    ask = "import faust, importlib.metadata as m; print(m.version('faust-streaming'))"
    try:
        return subprocess.run((python, "-c", ask), capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(
            f"{python} does not run faust-streaming: `{python} -m pip install faust-streaming`."
        ) from error


def _kafka(process: psutil.Process | None) -> str:
    """The broker's release as its class path names it: the protocol does not tell."""
    found = _KAFKA_JAR.search(" ".join(process.cmdline())) if process else None
    return found[1] if found else "unknown"


def _processor() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return name[1] if name else platform.machine()


def _file_system(folder: Path) -> str:
    """The kind of the file system: on tmpfs an fsync costs nothing and proves nothing."""
    mounts = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    return next((mounts[parent] for parent in [folder, *folder.parents] if parent in mounts), "unknown")
