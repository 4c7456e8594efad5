"""Data folders are whole or not there, and a damaged one is refused with advice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from funnel.embedded.errors import StackError
from funnel.embedded.folders import place_folder
from funnel.embedded.home import Home
from funnel.embedded.kafka import KafkaServer
from funnel.embedded.postgres import PostgresServer


def _ignore(step: str) -> None:
    del step


def test_an_interrupted_preparation_leaves_nothing_and_is_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"

    def killed(staging: Path) -> None:
        (staging / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place_folder(folder, killed)
    (tmp_path / "data.unfinished").mkdir()
    (tmp_path / "data.unfinished" / "left by kill -9").touch()

    place_folder(folder, lambda staging: (staging / "whole").touch())
    assert os.listdir(folder) == ["whole"]
    assert os.listdir(tmp_path) == ["data"]


def test_a_postgres_folder_without_its_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "base").mkdir(parents=True)
    with pytest.raises(StackError, match=r"half made or damaged \(PG_VERSION is missing\); restore it from a backup"):
        PostgresServer(tmp_path / "postgres").prepare(_ignore)


def test_a_postgres_folder_of_another_major_version_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    (folder / "global").mkdir(parents=True)
    (folder / "global" / "pg_control").touch()
    (folder / "PG_VERSION").write_text("17\n", encoding="ascii")
    with pytest.raises(StackError, match="belongs to PostgreSQL 17, and this version runs 18"):
        PostgresServer(folder).prepare(_ignore)


def test_a_kafka_folder_without_its_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kafka" / "data" / "lead-events-0").mkdir(parents=True)
    (tmp_path / "kafka" / "VERSION").write_text("4.4.0\n", encoding="ascii")
    with pytest.raises(StackError, match=r"Kafka data folder .* is half made or damaged \(data/meta.properties"):
        KafkaServer(tmp_path / "kafka", 1).prepare(_ignore)


def test_a_kafka_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    (tmp_path / "kafka" / "data" / "meta.properties").touch()
    (tmp_path / "kafka" / "VERSION").write_text("5.0.0\n", encoding="ascii")
    with pytest.raises(StackError, match=r"written by Kafka 5\.0\.0, newer than"):
        KafkaServer(tmp_path / "kafka", 1).prepare(_ignore)


def test_the_key_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    secret = home.key_secret()
    assert len(secret) == 64
    assert home.key_secret() == secret
    assert (home.path / "key_secret").stat().st_mode & 0o777 == 0o600


def test_one_home_holds_one_supervisor(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    with home.locked():
        refused = pytest.raises(StackError, match=rf"already running on {home.path} \(process {os.getpid()}\)")
        with refused, home.locked():
            pass
    with home.locked():
        pass
