"""What belongs to a stack: the servers it runs itself, the four services, and what each is told."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Protocol

from funnel.embedded.home import Home
from funnel.embedded.kafka import KafkaServer
from funnel.embedded.orphans import HOME_VARIABLE, NAME_VARIABLE
from funnel.embedded.postgres import PostgresServer
from funnel.embedded.process import Program
from funnel.embedded.settings import EmbeddedSettings
from funnel.settings import Settings

SERVICES = ("ingest", "scoring", "routing", "metrics")
_TOLD = (
    "topic_prefix", "host", "ingest_port", "scoring_port", "routing_port", "metrics_port", "timezone", "log_level",
)  # fmt: skip


class Server(Protocol):
    """A server the stack runs itself."""

    def prepare(self, report: Callable[[str], None]) -> Program: ...
    def answers(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port a child is going to listen on, and the setting that moves it."""

    child: str
    host: str
    number: int
    setting: str


@dataclass(frozen=True, slots=True)
class Stack:
    """`kafka` and `postgres` are None where FUNNEL_KAFKA_BOOTSTRAP or FUNNEL_POSTGRES_DSN name a server that runs."""

    home: Home
    settings: Settings
    kafka: KafkaServer | None
    postgres: PostgresServer | None

    @classmethod
    def plan(cls, settings: Settings) -> Stack:
        """The stack that `settings` describe; its home is made when there is none."""
        return cls.at(Home.at(settings.home), settings)

    @classmethod
    def at(cls, home: Home, settings: Settings) -> Stack:
        """The stack that `settings` describe, at `home`; touches no file."""
        kafka = None if settings.kafka_bootstrap else KafkaServer(home.kafka, EmbeddedSettings().kafka_port)
        postgres = None if settings.postgres_dsn else PostgresServer(home.postgres)
        return cls(home, settings, kafka, postgres)

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap if self.kafka else self.settings.kafka_bootstrap

    @property
    def dsn(self) -> str:
        return self.postgres.dsn if self.postgres else self.settings.postgres_dsn

    @property
    def waives_replication(self) -> bool:
        """One broker and one database server cannot replicate; with outside servers the setting decides."""
        return self.settings.waive_replication or self.kafka is not None or self.postgres is not None

    def environment(self) -> dict[str, str]:
        """The `FUNNEL_*` variables of a service, without secrets."""
        told = {f"FUNNEL_{name.upper()}": str(getattr(self.settings, name)) for name in _TOLD}
        if self.settings.require_keys is not None:
            told["FUNNEL_REQUIRE_KEYS"] = str(self.settings.require_keys).lower()
        return told | {
            HOME_VARIABLE: str(self.home.path),
            "FUNNEL_KAFKA_BOOTSTRAP": self.bootstrap,
            "FUNNEL_POSTGRES_DSN": self.dsn,
            "FUNNEL_WAIVE_REPLICATION": str(self.waives_replication).lower(),
        }

    def key_secret(self) -> str:
        """The secret of record keys: the one that is set, else the one of this home."""
        return self.settings.key_secret or self.home.key_secret()

    def admin_token(self) -> str:
        """What opens the administration of sources: the token that is set, else the one of this home."""
        return self.settings.admin_token or self.home.admin_token()

    def services(self) -> list[Program]:
        """How to run the four services."""
        environment = self.environment()
        environment["FUNNEL_KEY_SECRET"] = self.key_secret()
        environment["FUNNEL_REPLICA"] = self._replica()
        own = {"ingest": self._secrets_of_ingest()}
        return [
            self.marked(
                Program(
                    name=name,
                    # -P: a folder named `services` where the user stands must not be taken for ours
                    argv=(sys.executable, "-P", "-m", f"services.{name}"),
                    environment=environment
                    | own.get(name, {})
                    | {"FUNNEL_REASON_FILE": str(self.home.reason_file_of(name))},
                )
            )
            for name in SERVICES
        ]

    def _replica(self) -> str:
        """The name of this stack's processes, the same after a restart, so that they go on with what they held."""
        if "replica" in self.settings.model_fields_set:
            return self.settings.replica
        return f"{socket.gethostname()}-{blake2b(bytes(self.home.path), digest_size=4).hexdigest()}"

    def _secrets_of_ingest(self) -> dict[str, str]:
        told = {"FUNNEL_ADMIN_TOKEN": self.admin_token(), "FUNNEL_TURNSTILE_SECRET": self.settings.turnstile_secret}
        return {name: value for name, value in told.items() if value}

    def marked(self, program: Program) -> Program:
        """`program`, carrying the mark by which a child of this home is recognised."""
        mark = {HOME_VARIABLE: str(self.home.path), NAME_VARIABLE: program.name}
        return replace(program, environment={**program.environment, **mark})

    def ports(self) -> list[Port]:
        """Every TCP port the stack's own children need."""
        settings = self.settings
        kafka = [Port("kafka", "127.0.0.1", self.kafka.port, "FUNNEL_KAFKA_PORT")] if self.kafka else []
        return kafka + [
            Port(name, settings.host, settings.port_of(name), f"FUNNEL_{name.upper()}_PORT") for name in SERVICES
        ]

    def url_of(self, child: str) -> str:
        """Where to reach a child; a server's URL carries its scheme, so that each says what it is."""
        if child == "kafka":
            return f"kafka://{self.bootstrap}"
        return self.dsn if child == "postgres" else self.settings.url_of(child)
