"""The black-box checker on a real run: it finds nothing, and then what was damaged on purpose."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from chaos.checker import Verdict, check, collect
from chaos.checker.command import as_text
from funnel.demo.journeys import journeys
from funnel.demo.team import routing_yaml
from funnel.settings import Settings
from tests.support.eventually import eventually
from tests.support.kafka import Record, produce, read_all

LEADS = 40
SALES_TOOL = "crm"


@pytest.fixture
def home(settings: Settings) -> Path:
    """A home with the team of the demo, so that every lead finds a rep or is held."""
    settings.home.mkdir(parents=True)
    return settings.home


class Client:
    """Posts one item at a time, and notes what it was told as the contract of the history says."""

    def __init__(self, ingest: httpx.Client, history: Path) -> None:
        self._ingest = ingest
        self._notes = (history / "answers.jsonl").open("a", encoding="utf-8")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._notes.close()

    def post(self, kind: str, source: str, body: Mapping[str, Any], person: str) -> None:
        sent_at, raw = time.time(), json.dumps(body).encode()
        answer = self._ingest.post(f"/v1/{kind}s", params={"source": source}, content=raw)
        told = answer.json()
        note = {
            "kind": kind,
            "source": source,
            "event_id": body["event_id"],
            "person": person,
            "type": body["type"],
            "body": hashlib.sha256(raw).hexdigest(),
            "sent_at": sent_at,
            "answered_at": time.time(),
            "status": answer.status_code,
            "result": told.get("status") if answer.status_code == 202 else "invalid",
            "answer_id": told.get("event_id"),
        }
        self._notes.write(json.dumps(note) + "\n")


async def test_a_real_run_is_as_promised_and_damage_to_it_is_found(
    home: Path, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - shown by pytest when the test fails
    cast = journeys(seed, LEADS, datetime.now(UTC))
    people = [journey.person for journey in cast if journey.person]
    (home / "routing.yaml").write_text(routing_yaml(people), encoding="utf-8")
    request.getfixturevalue("stack")
    history = tmp_path / "history"
    history.mkdir()

    with httpx.Client(base_url=settings.url_of("ingest"), timeout=30) as ingest, Client(ingest, history) as client:
        for journey in cast:
            for post in journey.posts:
                for _ in range(post.times):
                    client.post("event", post.source, post.body, post.identity.get("email", ""))
        client.post(
            "event", "website", {"event_id": "bad", "type": "no type!", "identity": {"email": "a@b.c"}}, "a@b.c"
        )
        given = await eventually(lambda: assignments(settings), deadline=60)
        for number, assignment in enumerate(given):
            for body in reported(number, assignment):
                client.post("outcome", SALES_TOOL, body, assignment["lead_id"])

    verdict = collected(settings, history)
    assert verdict.ok, as_text(verdict)
    assert verdict.counts["events"] == len({(p.source, p.event_id) for journey in cast for p in journey.posts})
    assert verdict.counts["outcomes"] > 0
    assert verdict.counts["leads"] == LEADS
    assert verdict.counts["repeats_of_clients"] > 0
    unchecked = {finding.says: finding.skipped for finding in verdict.findings if finding.skipped}
    assert set(unchecked.values()) == {
        "the product has no webhooks yet",
        "no fault was injected",
        "there is no samples.jsonl",
        "nobody took records away",
    }

    damaged = forge_assignment(settings, given[-1])
    assert found(collected(settings, history)) >= {
        ("I4", "aborted-read", damaged["assignment_id"]),
        ("I2", "duplicated", damaged["lead_id"]),
    }
    lead, id_ = delete_assignment(settings)
    after = found(collected(settings, history))
    assert {("I2", "lost", lead), ("I2", "diverged", lead), ("I4", "aborted-read", id_)} <= after


def assignments(settings: Settings) -> list[dict[str, Any]]:
    """What the sales tools were told, once there are enough to report about."""
    records = read_all(settings.kafka_bootstrap, f"{settings.topic_prefix}lead-assignments")
    assert len(records) > LEADS // 4
    return [json.loads(record.value or b"") for record in records]


def reported(number: int, assignment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A different story for each lead."""
    stories: list[list[dict[str, Any]]] = [
        [{"type": "accepted"}, {"type": "appointment.set"}],
        [{"type": "rejected", "reason": "not_mine"}],
        [{"type": "opportunity.opened"}, {"type": "won", "amount": {"value": "1200000", "currency": "JPY"}}],
        [{"type": "lost", "reason": "price"}, {"type": "reopened"}],
        [{"type": "recycled", "reason": "no_budget"}],
        [{"type": "contacted", "epoch": 7}],
    ]
    about = {"lead_id": assignment["lead_id"]}
    return [
        {"event_id": f"{assignment['lead_id']}-{step}", **about, **outcome}
        for step, outcome in enumerate(stories[number % len(stories)])
    ]


def collected(settings: Settings, history: Path) -> Verdict:
    metrics = settings.url_of("metrics")
    collect(history, settings.kafka_bootstrap, settings.postgres_dsn, settings.topic_prefix, metrics)
    return check(history)


def found(verdict: Verdict) -> set[tuple[str, str, str]]:
    """Violations by invariant, category and the id they are about."""
    return {
        (v.invariant, v.category.value, v.what.removeprefix("routing/").partition(":")[0]) for v in verdict.violations
    }


def forge_assignment(settings: Settings, real: Mapping[str, Any]) -> dict[str, Any]:
    """The same assignment again under an id that nobody gave."""
    forged = {**real, "assignment_id": "00000000-0000-5000-8000-000000000000"}
    headers = {"ce_id": f"{forged['assignment_id']}:{forged['status']}", "ce_source": "routing"}
    record = Record(
        json.dumps(forged).encode(),
        str(forged["lead_id"]).encode(),
        {
            **{name: value.encode() for name, value in headers.items()},
            "ce_type": b"lead.assigned",
            "ce_dataschema": b"lead_assignment.v2",
        },
    )
    produce(settings.kafka_bootstrap, f"{settings.topic_prefix}lead-assignments", [record])
    return forged


def delete_assignment(settings: Settings) -> tuple[str, str]:
    """Take a row away; the lead and the assignment it was about."""
    query = """
        DELETE FROM routing.assignment WHERE assignment_id = (
            SELECT assignment_id FROM routing.assignment WHERE status = 'active' ORDER BY lead_id LIMIT 1
        ) RETURNING lead_id::text, assignment_id::text
    """
    with psycopg.connect(settings.postgres_dsn) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row
