"""`funnel quarantine` with the real scoring and metrics: suspects wait for a person, and are released once."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from chaos.stack import StackUnderTest, stack_under_test
from funnel.settings import Settings
from tests.integration.ingest.service import running as ingesting
from tests.integration.metrics.services import Client, running
from tests.support import eventually
from tests.support.kafka import Record
from tests.support.scoring import event
from tests.support.scoring_service import published, record, scoring, send

MAIL = "taro@example.com"
OPEN_COPIES = """
    SELECT id FROM scoring.quarantine WHERE replayed_at IS NULL
    UNION ALL SELECT id FROM metrics.quarantine WHERE replayed_at IS NULL
"""


@dataclass
class Funnel:
    """Scoring and metrics at work, and the command beside them."""

    settings: Settings
    metrics: Client
    stack: StackUnderTest

    async def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = await asyncio.to_thread(self.stack.funnel, "quarantine", *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done

    async def listed(self, *arguments: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads((await self.command("list", "--json", *arguments)).stdout)
        return listed

    async def counts(self, **expected: int) -> bool:
        events = (await self.metrics.json("/v1/ledger"))["events"]
        return {name: events[name] for name in expected} == expected

    def open_copies(self) -> int:
        """How many records wait in the quarantines of both services together."""
        with psycopg.connect(self.settings.postgres_dsn) as connection:
            return len(connection.execute(OPEN_COPIES).fetchall())

    async def until(self, *, copies: int = 0, **expected: int) -> None:
        """Wait until the ledger says so, with nothing under way, and that many copies are in quarantine."""

        async def reached() -> bool:
            return await self.counts(**expected, in_flight=0, unaccounted=0) and self.open_copies() == copies

        await eventually(reached)


@pytest.fixture
def stack(settings: Settings) -> Iterator[StackUnderTest]:
    told = {
        "FUNNEL_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "FUNNEL_POSTGRES_DSN": settings.postgres_dsn,
        "FUNNEL_TOPIC_PREFIX": settings.topic_prefix,
        "FUNNEL_WAIVE_REPLICATION": "true",
    }
    with stack_under_test(told) as stack:
        yield stack


@pytest.fixture
async def funnel(settings: Settings, stack: StackUnderTest) -> AsyncIterator[Funnel]:
    async with running(settings) as metrics, scoring(settings):
        yield Funnel(settings, metrics, stack)


def suspect(reasons: str, **event_fields: Any) -> Record:
    """A form as ingest publishes it when it may be spam."""
    form = record(event("form.submitted", email=MAIL, **event_fields), partition=0)
    return replace(form, headers={**form.headers, "ce_suspect": reasons.encode()})


async def test_a_suspect_waits_in_quarantine_and_is_nowhere_else(funnel: Funnel) -> None:
    await send(funnel.settings, [suspect("honeypot,too-fast"), record(event(visitor="v"), partition=0)])
    await funnel.until(copies=2, accepted=2, applied=1, quarantined=1)

    found = await funnel.listed()
    assert {(one["service"], one["reason"]) for one in found} == {
        ("scoring", "suspect: honeypot,too-fast"),
        ("metrics", "suspect: honeypot,too-fast"),
    }
    assert (await funnel.metrics.json("/v1/ledger"))["leads"]["total"] == 0
    assert (await funnel.metrics.json("/v1/kpis"))["total"]["events"] == 1
    assert await published(funnel.settings) == []


@pytest.mark.parametrize("through", ["scoring", "metrics"])
async def test_a_released_suspect_is_one_lead_however_often_it_is_released(funnel: Funnel, through: str) -> None:
    await send(funnel.settings, [suspect("bad-token")])
    await funnel.until(copies=2, accepted=1, quarantined=1)
    (number,) = (str(one["id"]) for one in await funnel.listed() if one["service"] == through)

    await funnel.command("replay", through, number)
    await funnel.until(copies=0, accepted=2, applied=1, quarantined=1)
    await funnel.command("replay", through, number, number)
    await funnel.until(copies=0, accepted=4, applied=1, duplicates=2, quarantined=1)

    (lead,) = await published(funnel.settings)
    assert (lead.version, lead.contact and lead.contact.email) == (1, MAIL)
    assert (await funnel.metrics.json("/v1/kpis"))["total"]["events"] == 1


async def test_a_record_replayed_through_one_service_counts_as_replayed_in_all(funnel: Funnel) -> None:
    await send(funnel.settings, [suspect("honeypot"), suspect("origin", event_id="other")])
    await funnel.until(copies=4, quarantined=2)
    chosen = min((one for one in await funnel.listed() if one["service"] == "metrics"), key=lambda one: one["id"])

    await funnel.command("replay", "metrics", str(chosen["id"]))

    open_ = {(one["service"], one["record_offset"]) for one in await funnel.listed()}
    assert open_ == {("scoring", 1), ("metrics", 1)}
    replayed = [one for one in await funnel.listed("--all") if one["replayed_at"]]
    assert sorted(one["service"] for one in replayed) == ["metrics", "scoring"]


async def test_the_list_has_a_line_per_record_that_fits_80_columns_and_loses_nothing(funnel: Funnel) -> None:
    source = "a-source-with-a-name-that-fills-more-than-one-line"
    await send(funnel.settings, [suspect("honeypot,too-fast,bad-token,turnstile,origin", source=source)])
    await funnel.until(copies=2, quarantined=1)

    lines = (await funnel.command("list", COLUMNS="80")).stdout.splitlines()

    assert max(map(len, lines)) <= 80
    assert sum("lead-events/0@0" in line for line in lines) == 1
    ids = {one["service"]: one["id"] for one in await funnel.listed()}
    text = "".join("".join(line.split()) for line in lines)
    assert f"metrics{ids['metrics']}" in text
    assert f"scoring{ids['scoring']}" in text
    assert "…" not in text


async def test_showing_a_suspect_says_why_it_is_one_and_masks_the_person(funnel: Funnel) -> None:
    await send(funnel.settings, [suspect("too-fast")])
    await funnel.until(copies=2, quarantined=1)
    (number,) = (str(one["id"]) for one in await funnel.listed() if one["service"] == "scoring")

    shown = (await funnel.command("show", "scoring", number, "--json")).stdout

    assert json.loads(shown)["headers"]["ce_suspect"] == "too-fast"
    assert MAIL not in shown


async def test_an_id_that_comes_again_with_another_body_is_put_aside_with_that_reason(funnel: Funnel) -> None:
    async def post(event_id: str, mail: str) -> None:
        body = {"event_id": event_id, "type": "form.submitted", "identity": {"email": mail}}
        answer = await ingest.post("/v1/events", json=body)
        assert (answer.status_code, answer.json()["event_id"]) == (202, event_id)

    async with ingesting(funnel.settings) as ingest:
        await post("form-1", MAIL)
        await funnel.until(accepted=1, applied=1)
        await post("form-1", MAIL)
        await post("form-1", "hanako@example.com")
        await funnel.until(copies=2, accepted=3, applied=1, duplicates=1, quarantined=1)

    assert {one["reason"].partition(":")[0] for one in await funnel.listed()} == {"event_id_reused"}
    (lead,) = await published(funnel.settings)
    assert lead.contact is not None
    assert lead.contact.email == MAIL
