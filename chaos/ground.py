"""The servers that all rows share: three brokers, a Postgres pair, and a proxy before each; healed between rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from chaos.cluster import postgres, proxies
from chaos.cluster.brokers import Brokers
from chaos.cluster.postgres import Postgres
from chaos.cluster.proxies import Proxies
from chaos.errors import NotPossible
from funnel.embedded.errors import StackError


@dataclass(slots=True)
class Ground:
    """`proxies` is None where toxiproxy cannot be had, `no_proxies` says why then."""

    folder: Path
    report: Callable[[str], None]
    brokers: Brokers
    proxies: Proxies | None
    no_proxies: str
    postgres: Postgres
    _pairs: int = field(default=1)

    def heal(self, prefix: str = "") -> None:
        """Start, thaw and connect whatever a row left broken; returns when all is well. Raises ChaosError, StackError.

        `prefix`: of the topics whose copies must be in sync again.
        """
        if self.proxies:
            self.proxies.reset()
        self.brokers.launch_all()
        for node in (self.postgres.pair.primary, self.postgres.pair.standby):
            node.start()
        self.brokers.await_health(prefix)

    def renew(self) -> None:
        """Heal, and replace the shared Postgres pair when it is not as it was; only between rows."""
        try:
            self.heal()
            as_it_was = self._postgres_is_well()
        except (StackError, psycopg.Error, TimeoutError):
            as_it_was = False
        if not as_it_was:
            self.report("the shared Postgres pair is not as it was: making a new one")
            self.postgres.close()
            self._pairs += 1
            self.postgres = self.new_postgres("postgres", synchronous=True)
            self.heal()

    def new_postgres(self, name: str, *, synchronous: bool) -> Postgres:
        """Another pair, with proxies of its own; the caller closes it."""
        folder = self.folder / f"{name}-{self._pairs}"
        shutil.rmtree(folder, ignore_errors=True)
        return postgres.start(folder, self.proxies, synchronous=synchronous, name=name)

    def _postgres_is_well(self) -> bool:
        """Whether the standby follows its primary and holds up its commits."""
        pair = self.postgres.pair
        pair.catch_up()
        return pair.primary.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)]


@contextmanager
def ground(folder: Path, report: Callable[[str], None]) -> Iterator[Ground]:
    """All of it, running. Raises ChaosError or StackError when a server does not come up."""
    brokers, toxic, reason = Brokers(folder), None, ""
    pair: Postgres | None = None
    try:
        try:
            toxic = Proxies(proxies.program(report), folder / "toxiproxy.log")
            toxic.start()
            brokers.advertise([toxic.add(f"broker-{one.number}", one.client) for one in brokers])
        except NotPossible as error:
            reason = str(error)
            report(f"no proxies: {reason}")
        report("starting three brokers")
        brokers.start(report)
        report("starting a Postgres primary and its standby")
        pair = postgres.start(folder / "postgres-1", toxic)
        made = Ground(folder, report, brokers, toxic, reason, pair)
        try:
            yield made
        finally:
            pair = made.postgres
    finally:
        if pair:
            pair.pair.close()
        brokers.stop()
        if toxic:
            toxic.stop()
