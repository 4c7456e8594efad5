"""Bad networks: a TCP proxy (toxiproxy) between the product's clients and each server.

The program is built once with Go into the user's cache; where that is not possible, rows that need it do not run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from chaos.cluster.ports import free_ports
from chaos.errors import ChaosError, NotPossible
from funnel.embedded.jars import cache_folder
from funnel.embedded.process import Child, Program

VERSION: Final = "v2.12.0"
HOST: Final = "127.0.0.1"
_SOURCE: Final = f"github.com/Shopify/toxiproxy/v2/cmd/server@{VERSION}"
_BUILD_SECONDS: Final = 300
_START_SECONDS: Final = 10.0

Kind = Literal["latency", "timeout", "reset_peer", "slow_close", "limit_data", "bandwidth", "slicer"]
Direction = Literal["upstream", "downstream"]
"""upstream: what the client sends; downstream: what the server answers."""


def program(report: Callable[[str], None]) -> Path:
    """The proxy's program, built when it is not in the cache. Raises NotPossible with the reason."""
    target = cache_folder() / f"toxiproxy-{VERSION}" / "server"
    if target.exists():
        return target
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise NotPossible(f"toxiproxy is not there, and there is no Go to build it with (wanted: {target})")
    report(f"building toxiproxy {VERSION}")
    staging = target.with_name("unfinished")
    staging.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        (go, "install", _SOURCE), env={**os.environ, "GOBIN": str(staging)},
        capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS,
    )  # fmt: skip
    if done.returncode:
        raise NotPossible(f"toxiproxy cannot be built: {done.stderr.strip().splitlines()[-1:]}")
    (staging / "server").replace(target)
    staging.rmdir()
    return target


class Proxies:
    """All proxies, in one process. Names are those given to `add`: `broker-1` .. and `postgres-one`, `postgres-two`."""

    def __init__(self, binary: Path, log: Path) -> None:
        (self._port,) = free_ports(1)
        self._binary = binary
        self._log = log
        self._child: Child | None = None
        self._http = httpx.Client(base_url=f"http://{HOST}:{self._port}", timeout=10, trust_env=False)
        self.names: list[str] = []

    def start(self) -> None:
        """Start the process. Raises ChaosError."""
        argv = (str(self._binary), "-host", HOST, "-port", str(self._port))
        environment = {"LOG_LEVEL": "error"}  # else it writes a line per connection
        self._child = Child.start(Program("toxiproxy", argv, environment), self._log, ends_with_us=True)
        give_up = time.monotonic() + _START_SECONDS
        while not self._answers():
            if not self._child.running() or time.monotonic() > give_up:
                raise ChaosError(f"toxiproxy does not start, {self._child.why_ended()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, and every connection through it."""
        self._http.close()
        if self._child is not None:
            self._child.stop()

    def add(self, name: str, upstream: int) -> int:
        """A proxy before port `upstream` of this machine; the port it listens on."""
        (port,) = free_ports(1)
        listen, target = f"{HOST}:{port}", f"{HOST}:{upstream}"
        self._ask("POST", "/proxies", {"name": name, "listen": listen, "upstream": target, "enabled": True})
        self.names.append(name)
        return port

    def remove(self, name: str) -> None:
        """Take a proxy away."""
        self._ask("DELETE", f"/proxies/{name}")
        self.names.remove(name)

    def named(self, start: str) -> list[str]:
        """The proxies whose names begin so: `named("broker")`, `named("postgres")`."""
        return [name for name in self.names if name.startswith(start)]

    def down(self, name: str) -> None:
        """Close every connection through it, and refuse new ones, until `up`."""
        self._ask("POST", f"/proxies/{name}", {"enabled": False})

    def up(self, name: str) -> None:
        """Undo `down`."""
        self._ask("POST", f"/proxies/{name}", {"enabled": True})

    def poison(self, name: str, kind: Kind, stream: Direction, share: float = 1.0, **attributes: int) -> str:
        """Add a toxic, for connections that are open and for new ones; returns its name.

        `share` of the connections get it. Attributes: latency(latency, jitter in ms), timeout(timeout in ms; 0: what
        is sent disappears, the connection stays), reset_peer(timeout in ms), slow_close(delay in ms),
        limit_data(bytes), bandwidth(rate in KB/s), slicer(average_size, size_variation in bytes, delay in us).
        """
        toxic = {"type": kind, "stream": stream, "toxicity": share, "attributes": attributes}
        made = self._ask("POST", f"/proxies/{name}/toxics", {**toxic, "name": f"{kind}_{stream}"})
        return str(made["name"])

    def cure(self, name: str, toxic: str) -> None:
        """Take one toxic away."""
        self._ask("DELETE", f"/proxies/{name}/toxics/{toxic}")

    @contextmanager
    def poisoned(
        self, name: str, kind: Kind, stream: Direction, share: float = 1.0, **attributes: int
    ) -> Iterator[None]:
        """A toxic for the length of a `with` block."""
        toxic = self.poison(name, kind, stream, share, **attributes)
        try:
            yield
        finally:
            self.cure(name, toxic)

    def reset(self) -> None:
        """Every proxy up, without toxics."""
        self._ask("POST", "/reset")

    def _answers(self) -> bool:
        try:
            return self._http.get("/version").status_code == 200
        except httpx.TransportError:
            return False

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise ChaosError(f"toxiproxy does not answer: {error or type(error).__name__}") from error
        if answer.status_code >= 300:
            raise ChaosError(f"toxiproxy refuses {method} {path}: {answer.text}")
        found: dict[str, Any] = answer.json() if answer.content else {}
        return found
