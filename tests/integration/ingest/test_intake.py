"""Over real HTTP into real Kafka, with Postgres away: what is answered, and what is then on the topic."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec

from funnel.contracts import IngestReceipt, LeadEvent, LeadOutcome
from funnel.settings import Settings
from services.ingest.domain import limits
from tests.integration.ingest.conftest import settings_for, topics_of_ingest
from tests.integration.ingest.service import ids, read, running, value
from tests.support.kafka import create_topics
from tests.unit.ingest.given import LEAD_ID, an_event, an_outcome


async def test_a_202_means_the_record_is_there(client: httpx.AsyncClient, settings: Settings) -> None:
    sent = an_event(event_id="e-1", person={"name": "山田 太郎"}, unknown={"kept": [1, ""]})
    response = await client.post("/v1/events?source=shop", json=sent)
    assert (response.status_code, response.json()) == (202, {"event_id": "e-1", "status": "accepted"})

    (record,) = read(settings)
    event = msgspec.json.decode(record.value or b"", type=LeadEvent)
    assert (event.source, event.event_id, event.mode, event.type) == ("shop", "e-1", "live", "form.submitted")
    assert event.identity.email == "jane@example.com"
    assert value(record)["unknown"] == {"kept": [1, ""]}
    assert record.headers["ce_id"] == b"e-1"
    assert record.headers["ce_source"] == b"shop"
    assert record.headers["ce_type"] == b"form.submitted"
    assert record.headers["ce_dataschema"] == b"lead_event.v2"
    assert re.fullmatch(rb"[0-9a-f]{32}", record.headers["ce_bodyhash"])


async def test_neither_key_nor_headers_hold_personal_data(client: httpx.AsyncClient, settings: Settings) -> None:
    await client.post("/v1/events", json=an_event(identity={"email": "jane@example.com", "phone": "+819012345678"}))
    (record,) = read(settings)
    assert re.fullmatch(rb"[0-9a-f]{16}", record.key or b"")
    outside = b"".join(record.headers.values()) + (record.key or b"")
    assert b"jane" not in outside
    assert b"9012345678" not in outside


async def test_one_persons_events_share_a_partition(client: httpx.AsyncClient, settings: Settings) -> None:
    for spelled in ("jane@example.com", "Jane@Example.com", " JANE@example.com "):
        await client.post("/v1/events", json=an_event(identity={"email": spelled}))
    records = read(settings)
    assert len({record.key for record in records}) == len({record.partition for record in records}) == 1


async def test_a_batch_stores_the_good_and_names_the_bad(client: httpx.AsyncClient, settings: Settings) -> None:
    lines = [
        json.dumps(an_event(event_id="e-1")),
        "not json at all",
        json.dumps(an_event(event_id="e-2", person={"name": "\ud800"})),
        json.dumps(an_event(event_id="e-3", properties={"x": "y" * limits.EVENT_BYTES_MAX})),
        json.dumps(an_event(event_id="e-1")),
        json.dumps(an_event(event_id="e-4", identity={"visitor_id": "v-1"})),
    ]
    response = await client.post(
        "/v1/events/batch", content="\n".join(lines), headers={"content-type": "application/x-ndjson"}
    )
    assert response.status_code == 202
    statuses = [result["status"] for result in response.json()["results"]]
    assert statuses == ["accepted", "invalid", "invalid", "invalid", "duplicate", "accepted"]
    assert sorted(ids(read(settings))) == ["e-1", "e-4"]


async def test_a_full_batch_is_stored_whole(client: httpx.AsyncClient, settings: Settings) -> None:
    sent = [
        an_event(event_id=f"e-{n}", identity={"visitor_id": f"v-{n}"}, properties={"padding": "x" * 800})
        for n in range(limits.BATCH_ITEMS_MAX)
    ]
    response = await client.post("/v1/events/batch", json={"events": sent})
    assert response.status_code == 202
    assert {result["status"] for result in response.json()["results"]} == {"accepted"}
    records = read(settings)
    assert sorted(ids(records)) == sorted(event["event_id"] for event in sent)
    assert len({record.partition for record in records}) > 1


async def test_outcomes_are_stored_under_their_lead(client: httpx.AsyncClient, settings: Settings) -> None:
    sent = [
        an_outcome(event_id="o-1", type="won", amount={"value": "0", "currency": "JPY"}),
        {"event_id": "o-2", "type": "accepted", "identity": {"external_ids": {"crm": "42"}}},
    ]
    response = await client.post("/v1/outcomes?source=sfa", json={"outcomes": sent})
    assert response.status_code == 202
    found = {record.headers["ce_id"]: record for record in read(settings, "lead-outcomes")}
    won = msgspec.json.decode(found[b"o-1"].value or b"", type=LeadOutcome)
    assert (won.type, won.source, found[b"o-1"].key) == ("won", "sfa", LEAD_ID.encode())
    assert found[b"o-1"].headers["ce_type"] == b"outcome.won"
    assert re.fullmatch(rb"[0-9a-f]{16}", found[b"o-2"].key or b"")


async def test_posts_at_the_same_time_are_all_stored_once(client: httpx.AsyncClient, settings: Settings) -> None:
    async def post(number: int) -> str:
        event = an_event(identity={"visitor_id": f"v-{number}"})
        response = await client.post("/v1/events", json=event)
        assert response.status_code == 202
        return str(response.json()["event_id"])

    posted = await asyncio.gather(*(post(number) for number in range(300)))
    assert sorted(ids(read(settings))) == sorted(posted)


async def test_a_request_that_cannot_be_recognised_has_the_same_ids_when_it_is_repeated(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """With Postgres away nobody remembers its Idempotency-Key, but the ids follow from it: readers take each once."""
    events = {"events": [an_event(), an_event(type="page.viewed")]}
    for key in ("k-1", "k-1", "k-2"):
        answer = await client.post("/v1/events/batch", json=events, headers={"idempotency-key": key})
        assert answer.status_code == 202
    assert sorted(Counter(ids(read(settings))).values()) == [1, 1, 2, 2]


async def test_the_same_post_twice_is_stored_twice_with_the_same_id_and_body_hash(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """Readers take it once: only they can know what was stored before."""
    for _ in range(2):
        assert (await client.post("/v1/events", json=an_event(event_id="e-1"))).status_code == 202
    records = read(settings)
    assert [(r.headers["ce_id"], r.headers["ce_bodyhash"]) for r in records] == [
        (b"e-1", records[0].headers["ce_bodyhash"])
    ] * 2


BAD_INPUT: list[tuple[str, bytes, dict[str, str], int]] = [
    ("/v1/events", b"{", {}, 400),
    ("/v1/events", b"\xff", {}, 400),
    ("/v1/events", b"[" * 60_000, {}, 422),
    ("/v1/events", b"{}", {}, 422),
    ("/v1/events?mode=never", b"{}", {}, 422),
    ("/v1/events", b"\x1b", {"content-encoding": "br"}, 415),
    ("/v1/events", b" " * 70_000, {}, 413),
    ("/v1/events/batch", b" " * 2_000_000, {}, 413),
    ("/v1/events/batch", b'{"events": [{}]}', {}, 422),
    ("/v1/events/batch", b"{", {"content-type": "application/x-ndjson"}, 422),
    ("/v1/outcomes", b'{"type": "sold"}', {}, 422),
    ("/v1/outcomes", b" " * 2_000_000, {}, 413),
]


async def test_bad_input_is_a_problem_and_stores_nothing(client: httpx.AsyncClient, settings: Settings) -> None:
    for path, content, headers, status in BAD_INPUT:
        response = await client.post(path, content=content, headers=headers)
        assert response.status_code == status, (path, content[:20])
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status
    assert read(settings) == read(settings, "lead-outcomes") == []


async def test_a_body_without_an_announced_length_is_bounded_too(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 65_536

    assert (await client.post("/v1/events", content=endless())).status_code == 413


async def test_a_record_the_topic_finds_too_large_leaves_its_neighbours_alone(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    small = {"max.message.bytes": "3000"}
    create_topics(kafka_bootstrap, dict.fromkeys(topics_of_ingest(topic_prefix), 1), small)
    settings = settings_for(kafka_bootstrap, topic_prefix, tmp_path)
    large = an_event(event_id="large", properties={"x": "y" * 5_000})
    async with running(settings) as client:
        sent = [an_event(event_id="e-1"), large, an_event(event_id="e-2")]
        response = await client.post("/v1/events/batch", json={"events": sent})
        assert [result["status"] for result in response.json()["results"]] == ["accepted", "invalid", "accepted"]
        assert (await client.post("/v1/events", json=large)).status_code == 413
        assert (await client.post("/v1/events", json=an_event(event_id="e-3"))).status_code == 202
    assert sorted(ids(read(settings))) == ["e-1", "e-2", "e-3"]


async def test_the_second_witness_agrees_with_the_topics(settings: Settings) -> None:
    async with running(settings) as client:
        sent = [an_event(event_id=f"e-{n}") for n in range(5)]
        await client.post("/v1/events/batch", json={"events": [*sent, sent[0], {}]})
        await client.post("/v1/events", json=sent[0])
        await client.post("/v1/outcomes", json=an_outcome())
    receipts = [msgspec.json.decode(one.value or b"", type=IngestReceipt) for one in read(settings, "ingest-receipts")]
    assert sum(receipt.events for receipt in receipts) == len(read(settings)) == 6
    assert sum(receipt.outcomes for receipt in receipts) == len(read(settings, "lead-outcomes")) == 1


async def test_it_is_ready_and_documented(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).status_code == 200
    assert (await client.get("/readyz")).status_code == 200
    assert "/v1/events/batch" in (await client.get("/openapi.json")).json()["paths"]
    assert "swagger" in (await client.get("/docs")).text
    await client.post("/v1/events", json=an_event())
    assert 'funnel_ingest_items_total{kind="event",result="accepted"}' in (await client.get("/metrics")).text
