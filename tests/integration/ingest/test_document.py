"""The OpenAPI document is true of the running service, and nothing that can be made from it is answered with 500.

Schemathesis makes requests from the document, good ones and bad ones, and holds each answer against it: status,
content type, headers, body. It runs as a program of its own, as anybody could run it against the service.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from funnel.embedded.servers import Servers
from tests.integration.ingest.apart import Apart, ingest_apart
from tests.integration.ingest.service import read
from tests.unit.ingest.given import an_event, an_outcome

CONFIGURATION = """
[generation]
database = "none"
max-examples = 10
no-shrink = true

[checks]
# More is refused than a schema can say: an event of nobody, text that cannot be stored, a time in no calendar.
positive_data_acceptance.enabled = false
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "429"]
# Starlette names the methods of the first route of a path only.
allow_header_conformance.enabled = false

[[operations]]
# Answered item by item: one that is good is taken, and the answer says what is wrong with the others.
include-path-regex = "^/v1/(events/batch|outcomes|beacon)$"
checks.negative_data_rejection.enabled = false

[[operations]]
# An image whatever it is asked, as the document says.
include-path = "/v1/p.gif"
checks.negative_data_rejection.enabled = false
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
    return tmp_path


@pytest.fixture
def open_ingest(servers: Servers, template_database: str, tmp_path: Path) -> Iterator[Apart]:
    """As it runs by default: on a loopback address, where nobody needs a key."""
    with ingest_apart(servers, template_database, tmp_path) as apart:
        yield apart


@pytest.fixture
def closed_ingest(servers: Servers, template_database: str, tmp_path: Path) -> Iterator[Apart]:
    """As it runs where others reach it: with keys."""
    with ingest_apart(servers, template_database, tmp_path, REQUIRE_KEYS="true") as apart:
        yield apart


def document_of(ingest: Apart) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{ingest.url}/openapi.json").json()
    return found


GOOD = {
    "/v1/events": an_event(),
    "/v1/events/batch": {"events": [an_event()]},
    "/v1/outcomes": {"outcomes": [an_outcome()]},
    "/v1/forms/{form}": {"email": "jane@example.com"},
}


def with_good_examples(document: dict[str, Any]) -> dict[str, Any]:
    """A schema cannot say that somebody has to be meant, so little of what is made from it is taken."""
    for path, example in GOOD.items():
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"] = example
    return document


def without_idempotency_keys(document: dict[str, Any]) -> dict[str, Any]:
    """Schemathesis uses one key for nearly everything, which then says little but `idempotency-key-reused`."""
    for operations in document["paths"].values():
        for operation in operations.values():
            kept = [one for one in operation.get("parameters", []) if one["name"] != "Idempotency-Key"]
            operation["parameters"] = kept
    return document


def hold_against(document: dict[str, Any], ingest: Apart, folder: Path, *options: str) -> None:
    """Fails with all that was found to be untrue of `ingest`."""
    (folder / "document.json").write_text(json.dumps(document), encoding="utf-8")
    seed = random.getrandbits(32)  # from the seed that pytest prints
    before = ingest.complaints()
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", "document.json"),
            *("--url", ingest.url, "--seed", str(seed), "--continue-on-failure", "--no-color", *options),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"--seed {seed}\n{ran.stdout}\n{ran.stderr}"
    assert ingest.is_running
    assert ingest.complaints() == before


def test_every_way_in_keeps_to_the_document(open_ingest: Apart, folder: Path) -> None:
    document = with_good_examples(without_idempotency_keys(document_of(open_ingest)))
    phases = ("--phases", "examples,coverage,fuzzing")
    hold_against(document, open_ingest, folder, *phases, "--exclude-path-regex", "^/v1/sources")
    assert read(open_ingest.settings)
    assert read(open_ingest.settings, "lead-outcomes")


def test_it_does_so_under_idempotency_keys(open_ingest: Apart, folder: Path) -> None:
    options = ("--phases", "coverage", "--include-path-regex", "^/v1/(events|forms/{form})$")
    hold_against(document_of(open_ingest), open_ingest, folder, *options)


@pytest.mark.parametrize("with_key", [False, True])
def test_it_does_so_where_keys_are_needed(closed_ingest: Apart, folder: Path, with_key: bool) -> None:
    key = closed_ingest.new_source("default")["secret_key"]
    document = with_good_examples(without_idempotency_keys(document_of(closed_ingest)))
    options: tuple[str, ...] = ("--phases", "examples,coverage", "--include-path-regex", "^/v1/outcomes$")
    if with_key:
        options += ("-H", f"Authorization: Bearer {key}")
    hold_against(document, closed_ingest, folder, *options)
    assert bool(read(closed_ingest.settings, "lead-outcomes")) is with_key


@pytest.mark.parametrize("with_token", [False, True])
def test_the_administration_of_sources_keeps_to_the_document(
    closed_ingest: Apart, folder: Path, with_token: bool
) -> None:
    options: tuple[str, ...] = ("--phases", "coverage,fuzzing", "--include-path-regex", "^/v1/sources")
    if with_token:
        options += ("-H", f"Authorization: Bearer {closed_ingest.settings.admin_token}")
    hold_against(document_of(closed_ingest), closed_ingest, folder, *options)
