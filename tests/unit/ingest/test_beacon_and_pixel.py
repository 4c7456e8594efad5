"""The beacon and the pixel: what they take, and what those hear who cannot wait for an answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from funnel.http import create_app
from services.ingest import openapi
from services.ingest.beacon import add_endpoints
from services.ingest.desk import Desk
from services.ingest.domain.batch import Stored
from services.ingest.handlers import Intake
from services.ingest.receipts import Receipts
from tests.unit.ingest.given import SECRET, FixedClock, MemoryStore, an_event, doors

PLAIN = {"content-type": "text/plain;charset=UTF-8"}


@pytest.fixture
def storage() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def client(storage: MemoryStore) -> AsyncIterator[httpx.AsyncClient]:
    async def ready() -> Mapping[str, str]:
        return {}

    app, clock = create_app("Funnel ingest", ready=ready), FixedClock()
    receipts = Receipts(storage, clock, process="p", topic_prefix="t.")
    app.add_components(openapi.schemas(), openapi.SECURITY_SCHEMES)
    given, intake = doors(), Intake(storage, receipts, clock, key_secret=SECRET, topic_prefix="t.")
    add_endpoints(app, given, Desk(intake, given.gate))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def values(storage: MemoryStore) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in storage.records]


async def test_a_beacon_is_taken_as_plain_text_and_answered_with_nothing(
    client: httpx.AsyncClient, storage: MemoryStore
) -> None:
    response = await client.post("/v1/beacon", content=json.dumps(an_event(event_id="e-1")), headers=PLAIN)
    assert (response.status_code, response.content) == (204, b"")
    assert [value["event_id"] for value in values(storage)] == ["e-1"]


async def test_a_beacon_may_hold_several_events_and_one_bad_one_spoils_nothing(
    client: httpx.AsyncClient, storage: MemoryStore
) -> None:
    body = {"events": [an_event(event_id="e-1"), {"type": "page.viewed"}, an_event(event_id="e-2")]}
    response = await client.post("/v1/beacon", content=json.dumps(body), headers=PLAIN)
    assert response.status_code == 204
    assert [value["event_id"] for value in values(storage)] == ["e-1", "e-2"]


@pytest.mark.parametrize(
    ("body", "status"), [("{", 400), ("{}", 422), ('{"events": []}', 422), ('{"events": [{}]}', 422)]
)
async def test_a_beacon_that_holds_nothing_good_is_refused(client: httpx.AsyncClient, body: str, status: int) -> None:
    response = await client.post("/v1/beacon", content=body, headers=PLAIN)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_beacon_that_is_not_stored_is_told_so(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    storage.results = {"e-1": Stored.UNKNOWN}
    response = await client.post("/v1/beacon", content=json.dumps(an_event(event_id="e-1")), headers=PLAIN)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


async def test_a_beacon_of_which_a_part_is_not_stored_is_told_so(
    client: httpx.AsyncClient, storage: MemoryStore
) -> None:
    storage.results = {"e-1": Stored.UNKNOWN}
    body = {"events": [an_event(event_id="e-1"), an_event(event_id="e-2")]}
    response = await client.post("/v1/beacon", content=json.dumps(body), headers=PLAIN)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


async def test_what_a_beacon_says_of_its_own_clock_is_heard(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    """Its clock is an hour fast: what it says happened ten minutes before it sent it happened ten minutes ago."""
    event = an_event(occurred_at="2026-11-22T09:50:00Z")
    body = {"sent_at": "2026-11-22T10:00:00Z", "events": [event]}
    await client.post("/v1/beacon", content=json.dumps(body), headers=PLAIN)
    (value,) = values(storage)
    assert (value["occurred_at"], value["occurred_at_sent"]) == (
        "2026-11-22T08:50:00.000000Z",
        "2026-11-22T09:50:00.000000Z",
    )


async def test_a_pixel_tells_of_a_view_of_the_page_that_shows_it(
    client: httpx.AsyncClient, storage: MemoryStore
) -> None:
    page = "https://www.example.com/価格"
    response = await client.get("/v1/p.gif?visitor_id=v-1", headers={b"referer": page.encode()})
    assert response.headers["content-type"] == "image/gif"
    assert response.headers["cache-control"] == "no-store"
    assert response.content.startswith(b"GIF89a")
    (value,) = values(storage)
    assert (value["type"], value["identity"], value["context"]) == (
        "page.viewed",
        {"visitor_id": "v-1"},
        {"page_url": page},
    )


async def test_a_pixel_may_say_more(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    parameters = {
        "type": "email.opened",
        "external_id": "ma:77",
        "page_url": "https://a.example/",
        "referrer": "https://b.example/",
        "event_id": "e-1",
        "source": "letter",
    }
    await client.get("/v1/p.gif", params=parameters)
    (value,) = values(storage)
    assert (value["type"], value["event_id"], value["source"]) == ("email.opened", "e-1", "letter")
    assert value["identity"] == {"external_ids": {"ma": "77"}}
    assert value["context"] == {"page_url": "https://a.example/", "referrer": "https://b.example/"}


async def test_personal_data_in_the_address_of_a_pixel_is_not_read(
    client: httpx.AsyncClient, storage: MemoryStore
) -> None:
    await client.get("/v1/p.gif?visitor_id=v-1&email=jane@example.com&phone=0312345678")
    assert b"jane" not in storage.records[0].value
    assert b"0312345678" not in storage.records[0].value


@pytest.mark.parametrize(
    "query",
    ["", "type=Bad+Type&visitor_id=v", "mode=never", "key=fsk_secret", "visitor_id=%00", "a=b&" * 60, "%FF=%FF"],
)
async def test_the_image_comes_whatever_becomes_of_the_event(
    client: httpx.AsyncClient, storage: MemoryStore, query: str
) -> None:
    def refused() -> float:
        samples = (REGISTRY.get_sample_value("funnel_ingest_requests_total", _labels(code)) for code in (401, 422))
        return sum(sample or 0.0 for sample in samples)

    before = refused()
    response = await client.get(f"/v1/p.gif?{query}")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/gif")
    assert storage.records == []
    assert refused() == before + 1


def _labels(status: int) -> dict[str, str]:
    return {"endpoint": "/v1/p.gif", "status": str(status)}
