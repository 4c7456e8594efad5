"""Named statements in .sql files."""

from __future__ import annotations

from pathlib import Path

import pytest

from funnel.postgres import load_queries


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / f"sql_{tmp_path.name}"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_statements_are_found_by_name(package: Path) -> None:
    (package / "a.sql").write_text("-- name: one\n-- why\nSELECT 1\n\n-- name: two\nSELECT 2\n")
    queries = load_queries(package.name)
    assert queries["two"] == "SELECT 2"
    assert queries["one"].endswith("SELECT 1")


def test_a_name_used_twice_is_refused(package: Path) -> None:
    (package / "a.sql").write_text("-- name: one\nSELECT 1")
    (package / "b.sql").write_text("-- name: one\nSELECT 2")
    with pytest.raises(ValueError, match="'one' is defined twice"):
        load_queries(package.name)


def test_a_statement_without_a_name_is_refused(package: Path) -> None:
    (package / "a.sql").write_text("SELECT 1")
    with pytest.raises(ValueError, match="before the first"):
        load_queries(package.name)
