"""What follows from schemas/ is up to date, and the gate that says so can fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast, get_args, get_type_hints

import pytest
from msgspec import Struct

from funnel import schemas
from funnel.contracts import LeadAssignment, LeadScore, Touch, lead_assignment_v1, lead_score_v1
from funnel.schemas import published

ROOT = schemas.folder().parent


def generate(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the generator in `checkout` as `make check` and `make schemas` do."""
    command = [sys.executable, "-m", "funnel.schemas.generate", *arguments]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the parts of the repository that the generator reads and writes."""
    for name in ("funnel", "schemas"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "asyncapi.yaml", tmp_path / "docs")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_gate_passes_on_what_is_committed() -> None:
    result = generate(ROOT, "--check")

    assert (result.returncode, result.stderr) == (0, "")


def test_the_gate_fails_on_a_changed_type_a_leftover_and_a_stale_document(checkout: Path) -> None:
    contracts = checkout / "funnel" / "contracts"
    event = contracts / "lead_event_v1.py"
    event.write_text(event.read_text().replace("person: parts.Person", "person: parts.Contact"))
    shutil.copy(event, contracts / "lead_gone_v1.py")
    topic = checkout / "schemas" / "topics" / "lead-events.yaml"
    topic.write_text(topic.read_text().replace("retention_days: 14", "retention_days: 15"))

    result = generate(checkout, "--check")

    assert result.returncode == 1
    assert "lead_event_v1.py differs from what schemas/ says; run `make schemas`" in result.stderr
    assert "lead_gone_v1.py belongs to no schema" in result.stderr
    assert "asyncapi.yaml differs" in result.stderr


def test_a_new_version_is_generated_beside_the_old_one_and_then_locked(checkout: Path) -> None:
    events = checkout / "schemas" / "events"
    newer = json.loads((events / "lead_event.v2.schema.json").read_text())
    newer["$id"] = "urn:funnel:schema:lead_event.v3"
    newer["properties"]["campaign_id"] = {"type": ["string", "null"], "description": "New.", "default": None}
    (events / "lead_event.v3.schema.json").write_text(json.dumps(newer))
    topic = checkout / "schemas" / "topics" / "lead-events.yaml"
    topic.write_text(topic.read_text() + "  3: lead_event.v3\n")

    assert generate(checkout, "--check").returncode == 1
    assert generate(checkout, "--publish").returncode == 0
    assert generate(checkout, "--check").returncode == 0
    assert published.unpublished(checkout / "schemas") == []
    script = (
        "from funnel.contracts import LeadEvent, lead_event_v2;"
        "assert 'campaign_id' in LeadEvent.__struct_fields__;"
        "assert 'campaign_id' not in lead_event_v2.LeadEvent.__struct_fields__;"
        "from funnel.contracts.registry import decoder; from funnel.errors import UnknownVersion\n"
        "try: decoder('lead-events')(b'{}', 'lead_event.v4')\n"
        "except UnknownVersion: print('waits')"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("waits\n", "")


def test_two_variants_of_a_shared_part_are_two_classes() -> None:
    for old, new in ((lead_score_v1.LeadScore, LeadScore), (lead_assignment_v1.LeadAssignment, LeadAssignment)):
        assert "landing_url" not in struct_of(old, "first_touch").__struct_fields__
        assert struct_of(new, "first_touch") is Touch

    assert "landing_url" in Touch.__struct_fields__


def struct_of(record: type[Struct], field: str) -> type[Struct]:
    """The class of an optional part of `record`."""
    (found,) = (one for one in get_args(get_type_hints(record)[field]) if one is not type(None))
    return cast("type[Struct]", found)


def test_the_gate_fails_on_a_changed_published_schema_and_generates_nothing(checkout: Path) -> None:
    path = checkout / "schemas" / "events" / "lead_event.v1.schema.json"
    path.write_text(path.read_text().replace("Job title.", "Title."))

    check, write = generate(checkout, "--check"), generate(checkout)

    assert (check.returncode, write.returncode) == (1, 1)
    assert "lead_event.v1.schema.json is published and must not change; write the next version" in check.stderr


def test_published_versions_are_what_they_were() -> None:
    assert published.broken(schemas.folder()) == []


def test_nothing_unpublished_is_on_a_topic() -> None:
    assert published.unpublished(schemas.folder()) == []


def test_a_published_version_cannot_be_removed_or_locked_anew(checkout: Path) -> None:
    root = checkout / "schemas"
    path = root / "events" / "lead_score.v1.schema.json"
    path.write_text(path.read_text() + "\n")

    published.lock(root)
    assert published.broken(root) == [
        "schemas/events/lead_score.v1.schema.json is published and must not change; write the next version"
    ]

    path.unlink()
    assert published.broken(root) == ["schemas/events/lead_score.v1.schema.json is published and must not be removed"]
