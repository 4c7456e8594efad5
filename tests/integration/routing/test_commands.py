"""`funnel reps`, `funnel pools` and `funnel why` against the running services."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from funnel.contracts import LeadEvent
from funnel.runtime import Build
from funnel.settings import Settings
from services.routing.app import build as build_routing
from services.scoring.app import build as build_scoring
from tests.support.eventually import eventually
from tests.support.kafka import Record, produce
from tests.support.serving import serving


@dataclass(frozen=True)
class Shell:
    """Where the commands are typed."""

    settings: Settings

    async def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        values = {
            f"FUNNEL_{name.upper()}": str(value) for name, value in self.settings.model_dump(exclude_none=True).items()
        }
        command = [sys.executable, "-c", "from funnel.cli import main; main()", *words]
        return await asyncio.to_thread(
            subprocess.run, command, env=os.environ | values, capture_output=True, text=True, check=False
        )

    async def json(self, *words: str) -> Any:
        done = await self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@asynccontextmanager
async def served(build: Build, settings: Settings) -> AsyncIterator[None]:
    async with build(settings) as application, serving(application):
        yield


@pytest.fixture
async def shell(settings: Settings) -> AsyncIterator[Shell]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(served(build_scoring, settings))
        await stack.enter_async_context(served(build_routing, settings))
        yield Shell(settings)


async def post_form(settings: Settings, event_id: str, email: str) -> None:
    """What ingest does for a form that somebody filled in."""
    event = {
        "event_id": event_id,
        "source": "web",
        "type": "form.submitted",
        "occurred_at": "2026-11-22T09:00:00Z",
        "received_at": "2026-11-22T09:00:00Z",
        "identity": {"email": email, "external_ids": {"crm": event_id}},
    }
    msgspec.convert(event, LeadEvent)
    headers = {"ce_id": event_id.encode(), "ce_source": b"web", "ce_type": b"form.submitted"}
    headers["ce_dataschema"] = b"lead_event.v1"
    topic = settings.topic_prefix + "lead-events"
    record = Record(msgspec.json.encode(event), b"k", headers)
    await asyncio.to_thread(produce, settings.kafka_bootstrap, topic, [record])


async def test_a_lead_is_followed_from_hold_to_rep_on_the_command_line(shell: Shell) -> None:
    assert "There are no reps" in (await shell.run("reps", "list")).stdout
    await post_form(shell.settings, "42", "sato@example.com")

    async def held() -> bool:
        result = await shell.run("why", "SATO@example.com", "--json")
        return result.returncode == 0 and json.loads(result.stdout)["state"] == "held"

    await eventually(held)
    (pool,) = (await shell.json("pools"))["pools"]
    assert (pool["name"], pool["held"]) == ("sales", 1)
    added = await shell.json("reps", "add", "tanaka", "--capacity", "3", "--name", "田中", "--pool", "sales:2")
    assert (added["name"], added["pools"]) == ("田中", [{"pool": "sales", "weight": 2}])

    async def assigned() -> bool:
        return bool((await shell.json("why", "crm:42"))["state"] == "assigned")

    await eventually(assigned)
    lead_id = (await shell.json("why", "sato@example.com"))["lead_id"]
    shown = await shell.run("why", lead_id)
    assert shown.returncode == 0
    assert "With tanaka, from pool sales by the rule 'everyone'." in shown.stdout
    assert "tanaka" in (await shell.run("pools")).stdout
    changed = await shell.json("reps", "set", "tanaka", "--inactive", "--capacity", "0")
    assert (changed["active"], changed["capacity"], changed["open"]) == (False, 0, 1)
    assert "tanaka" in (await shell.run("reps", "list")).stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["why", "nobody@example.com"], "No lead is known by this identifier."),
        (["why", "00000000-0000-0000-0000-000000000001"], "Routing has not seen the lead"),
        (["reps", "set", "nobody", "--capacity", "3"], "There is no rep 'nobody'."),
        (["reps", "add", "x", "--capacity", "3", "--pool", "sails"], "There is no pool 'sails'; there are: sales."),
    ],
)
async def test_what_cannot_be_answered_is_one_sentence(shell: Shell, words: list[str], sentence: str) -> None:
    result = await shell.run(*words)
    assert (result.returncode, result.stdout) == (1, "")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


async def test_a_command_without_an_option_to_change_says_what_can_be_changed(shell: Shell) -> None:
    for words in (["reps", "set", "x"], ["reps", "add", "x", "--capacity", "1", "--pool", "sales:many"]):
        result = await shell.run(*words)
        assert result.returncode == 2


async def test_without_a_service_there_is_one_sentence(settings: Settings) -> None:
    result = await Shell(settings).run("reps", "list")
    assert result.returncode == 1
    assert result.stderr.startswith("The routing service does not answer at http://127.0.0.1:")
