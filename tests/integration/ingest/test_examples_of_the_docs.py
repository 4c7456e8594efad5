"""Every example of docs/ingest.md, run as a reader would run it, against the service as it runs in production."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from funnel.settings import Settings
from services.ingest.domain.source import Source
from tests.architecture.markdown import text_of
from tests.integration.ingest.keys import Keys, new_source
from tests.integration.ingest.service import running

ANYTHING = "..."
_EXAMPLE = re.compile(r"^```sh\n(?P<command>.*?)^```\n```http\n(?P<answer>.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are written for curl")


@dataclass(frozen=True)
class Example:
    """A command of the page and the answer it promises."""

    command: str
    status: int
    headers: dict[str, str]
    body: Any


def examples() -> list[Example]:
    return [_example(found["command"], found["answer"]) for found in _EXAMPLE.finditer(text_of("docs/ingest.md"))]


def _example(command: str, answer: str) -> Example:
    head, _, body = answer.partition("\n\n")
    status, *headers = head.strip().splitlines()
    pairs = (line.split(": ", 1) for line in headers)
    return Example(command, int(status.split()[1]), dict(pairs), json.loads(body) if body.strip() else None)


def _named(example: Example) -> str:
    found = re.search(r"/(v1|submissions)[^ ?\"]*", example.command)
    assert found, example.command
    return found[0]


@pytest.fixture
def settings(settings: Settings, database_dsn: str) -> Settings:
    """With the real Postgres, and keys required as on a server that others reach."""
    return settings.model_copy(update={"postgres_dsn": database_dsn, "require_keys": True})


@pytest.fixture
async def keys(settings: Settings) -> AsyncIterator[Keys]:
    shop = Source("shop", origins=("https://www.example.com",), redirects=("https://www.example.com/",))
    made = await new_source(settings, shop)
    async with running(settings):
        yield made


def test_the_page_has_examples_of_every_way_in() -> None:
    assert {_named(example) for example in examples()} == {
        "/v1/events",
        "/v1/events/batch",
        "/v1/forms/contact",
        "/submissions/v3/integration/submit/123456/contact",
        "/v1/beacon",
        "/v1/p.gif",
        "/v1/outcomes",
    }


@pytest.mark.parametrize("example", examples(), ids=_named)
async def test_an_example_is_answered_as_the_page_says(example: Example, settings: Settings, keys: Keys) -> None:
    status, headers, body = await _run(example.command, settings, keys)
    assert (status, body) == (example.status, _filled(example.body, body))
    assert {name: headers.get(name) for name in example.headers} == example.headers


async def _run(command: str, settings: Settings, keys: Keys) -> tuple[int, dict[str, str], Any]:
    told = {"INGEST": settings.url_of("ingest"), "WRITE_KEY": keys.write, "SECRET_KEY": keys.secret}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"set -o pipefail; {command}"),
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, trouble = await process.communicate()
    assert process.returncode == 0, trouble.decode()
    head, _, body = out.partition(b"\r\n\r\n")
    status, *lines = head.decode().splitlines()
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    is_json = headers.get("content-type", "").startswith("application/json")
    return int(status.split()[1]), headers, json.loads(body) if is_json else None


def _filled(expected: Any, found: Any) -> Any:
    """`expected` with what the page leaves open ("...") taken from `found`, where that has a text there."""
    if expected == ANYTHING and isinstance(found, str) and found:
        return found
    if isinstance(expected, dict) and isinstance(found, dict):
        return {name: _filled(item, found.get(name)) for name, item in expected.items()}
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [_filled(one, other) for one, other in zip(expected, found, strict=True)]
    return expected
