"""Settings: `FUNNEL_*` environment variables or a `.env`-style file named by `FUNNEL_SETTINGS_FILE`."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _replica_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class Settings(BaseSettings):
    """Everything a process may be told from outside. Defaults fit the embedded stack on one machine."""

    model_config = SettingsConfigDict(
        env_prefix="FUNNEL_", env_file=os.environ.get("FUNNEL_SETTINGS_FILE"), extra="ignore", frozen=True
    )

    home: Path = Field(default=Path(".funnel"), description="Folder of data and configuration files.")
    kafka_bootstrap: str = Field(default="", description="host:port[,host:port]; empty means the embedded broker.")
    postgres_dsn: str = Field(default="", description="postgresql:// URL; empty means the embedded server.")
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
    key_secret: str = Field(default="", description="Secret of the keyed hash that makes record keys.")
    replica: str = Field(default_factory=_replica_name, description="Name of this process among its replicas.")
    log_level: str = "INFO"

    def port_of(self, service: str) -> int:
        """The TCP port of `service` (ingest, scoring, routing or metrics)."""
        return int(getattr(self, f"{service}_port"))

    def url_of(self, service: str) -> str:
        """Base URL of `service`, without a trailing slash."""
        return f"http://{self.host}:{self.port_of(service)}"
