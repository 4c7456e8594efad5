"""Settings: `FUNNEL_*` environment variables or a `.env`-style file named by `FUNNEL_SETTINGS_FILE`."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _replica_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host` (a name, or an address without brackets)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Settings(BaseSettings):
    """Everything a process may be told from outside. Defaults fit the embedded stack on one machine."""

    model_config = SettingsConfigDict(
        env_prefix="FUNNEL_",
        env_file=os.environ.get("FUNNEL_SETTINGS_FILE"),
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    home: Path = Field(default=Path(".funnel"), description="Folder of data and configuration files.")
    kafka_bootstrap: str = Field(default="", description="host:port[,host:port]; empty means the embedded broker.")
    postgres_dsn: str = Field(default="", description="postgresql:// URL, may name several servers; empty: embedded.")
    topic_prefix: str = Field(default="", description="Put before every topic name, so that stacks can share a broker.")
    host: str = Field(default="127.0.0.1", description="Address every service listens on.")
    ingest_port: int = 8000
    scoring_port: int = 8001
    routing_port: int = 8002
    metrics_port: int = 8003
    waive_replication: bool = Field(
        default=False, description="Accept topics with one replica and Postgres without a synchronous standby."
    )
    timezone: str = Field(default="Asia/Tokyo", description="The organisation's time zone: its days and months.")
    key_secret: str = Field(default="", repr=False, description="Secret of the keyed hash that makes record keys.")
    require_keys: bool | None = Field(
        default=None, description="Whether events and outcomes need a key; None: unless `host` is a loopback address."
    )
    admin_token: str = Field(default="", repr=False, description="What opens the administration of sources and keys.")
    turnstile_secret: str = Field(default="", repr=False, description="Secret of Turnstile for forms.")
    ingest_key: str = Field(
        default="", repr=False, description="Secret key with which our own tools post to ingest (import)."
    )
    replica: str = Field(
        default_factory=_replica_name,
        description="Name of this process among its replicas; the one that takes its place goes on at once.",
    )
    log_level: str = "INFO"

    @property
    def keys_required(self) -> bool:
        """Whether events and outcomes need a key."""
        return not is_loopback(self.host) if self.require_keys is None else self.require_keys

    def port_of(self, service: str) -> int:
        """The TCP port of `service` (ingest, scoring, routing or metrics)."""
        return int(getattr(self, f"{service}_port"))

    def url_of(self, service: str) -> str:
        """Base URL of `service`, without a trailing slash."""
        return f"http://{self.host}:{self.port_of(service)}"
