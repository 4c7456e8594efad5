"""The cache of Kafka's jars: filled once, checked each time, repaired where it is damaged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from funnel.embedded import jars
from funnel.embedded.errors import StackError


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        del format, args


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository on this machine holding every locked jar, and an empty cache."""
    folder = tmp_path / "repository"
    real = dict(zip(jars.locked_jars(), jars.ensure_jars(_ignore), strict=True))
    for jar, path in real.items():
        place = folder / jar.group.replace(".", "/") / jar.name / jar.version
        place.mkdir(parents=True)
        (place / jar.file_name).symlink_to(path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("FUNNEL_MAVEN_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def _ignore(step: str) -> None:
    del step


def _cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_a_damaged_or_missing_file_is_downloaded_again_and_nothing_else(repository: Path, tmp_path: Path) -> None:
    del repository
    steps: list[str] = []
    first = jars.ensure_jars(steps.append)
    assert steps[-1].endswith(f"{len(first)} of {len(first)} files")
    whole = first[0].read_bytes()
    first[0].write_bytes(whole[: len(whole) // 2])
    first[1].unlink()

    steps.clear()
    assert jars.ensure_jars(steps.append) == first
    assert steps[-1].endswith("2 of 2 files")
    assert first[0].read_bytes() == whole
    steps.clear()
    jars.ensure_jars(steps.append)
    assert steps == []
    assert len(_cached(tmp_path)) == len(first)


def test_a_file_with_another_checksum_is_never_kept(repository: Path, tmp_path: Path) -> None:
    wrong = next(repository.rglob("kafka-raft-*.jar"))
    wrong.unlink()
    wrong.write_bytes(b"a page of a hotel's network")
    with pytest.raises(StackError, match=r"kafka-raft-.* whose checksum differs from the lock file"):
        jars.ensure_jars(_ignore)
    assert not any(name.startswith("kafka-raft-") for name in _cached(tmp_path))


def test_a_repository_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FUNNEL_MAVEN_URL", "http://127.0.0.1:9")
    with pytest.raises(StackError, match=r"Could not download .* from http://127\.0\.0\.1:9 .*; check the network"):
        jars.ensure_jars(_ignore)


def test_every_locked_file_has_a_checksum_and_kafka_is_the_version_we_say() -> None:
    locked = {jar.name: jar for jar in jars.locked_jars()}
    assert {locked[name].version for name in ("kafka_2.13", "kafka-clients", "kafka-server")} == {jars.KAFKA_VERSION}
    assert all(len(jar.sha256) == 64 for jar in locked.values())
