"""Settings only the embedded servers know."""

from __future__ import annotations

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EmbeddedSettings(BaseSettings):
    """Where the embedded broker listens on 127.0.0.1, and the Maven repository its jars are fetched from."""

    model_config = SettingsConfigDict(
        env_prefix="FUNNEL_", env_file=os.environ.get("FUNNEL_SETTINGS_FILE"), extra="ignore", frozen=True
    )

    kafka_port: int = 9092
    maven_url: str = Field(default="", description="A mirror; empty means Maven Central.")
