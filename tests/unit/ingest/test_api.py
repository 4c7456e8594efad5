"""What each request is answered, with a stand-in for Kafka; `tests/integration/ingest` has the real one."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import pytest
import zstandard
from prometheus_client import REGISTRY

from funnel.http import Api, create_app
from services.ingest import openapi
from services.ingest.api import add_endpoints
from services.ingest.desk import Desk
from services.ingest.domain import limits
from services.ingest.domain.batch import Stored
from services.ingest.handlers import Intake
from services.ingest.receipts import Receipts
from tests.unit.ingest.given import LEAD_ID, SECRET, FixedClock, MemoryStore, an_event, an_outcome, doors

TIMED_OUT = Stored.UNKNOWN
TOO_LARGE = Stored.TOO_LARGE
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def storage() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def app(storage: MemoryStore) -> Api:
    async def ready() -> Mapping[str, str]:
        return {}

    app = create_app("Funnel ingest", ready=ready)
    clock = FixedClock()
    receipts = Receipts(storage, clock, process="p", topic_prefix="t.")
    intake = Intake(storage, receipts, clock, key_secret=SECRET, topic_prefix="t.")
    app.add_components(openapi.schemas(), openapi.SECURITY_SCHEMES)
    given = doors()
    add_endpoints(app, given, Desk(intake, given.gate))
    return app


@pytest.fixture
async def client(app: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def problem_of(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"urn:funnel:problem:{slug}"
    return body


def statuses_of(response: httpx.Response) -> list[str]:
    return [result["status"] for result in response.json()["results"]]


async def test_an_event_is_published_and_its_id_echoed(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    response = await client.post("/v1/events?source=shop&mode=history", json=an_event(event_id="e-1"))
    assert (response.status_code, response.json()) == (202, {"event_id": "e-1", "status": "accepted"})
    (record,) = storage.records
    assert record.topic == "t.lead-events"
    assert dict(record.headers)["ce_source"] == b"shop"
    assert json.loads(record.value)["mode"] == "history"


async def test_an_event_without_an_id_gets_a_fresh_one(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    ids = [(await client.post("/v1/events", json=an_event())).json()["event_id"] for _ in range(2)]
    assert ids == [dict(record.headers)["ce_id"].decode() for record in storage.records]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(("header", "kept"), [(TRACE, TRACE.encode()), ("nonsense", None), (TRACE[:-3], None)])
async def test_a_trace_goes_on_with_the_record(
    client: httpx.AsyncClient, storage: MemoryStore, header: str, kept: bytes | None
) -> None:
    await client.post("/v1/events", json=an_event(), headers={"traceparent": header})
    assert dict(storage.records[0].headers).get("traceparent") == kept


@pytest.mark.parametrize("content_type", ["application/json", "text/plain;charset=UTF-8", ""])
async def test_json_is_read_whatever_it_is_called(client: httpx.AsyncClient, content_type: str) -> None:
    content = json.dumps(an_event()).encode()
    response = await client.post("/v1/events", content=content, headers={"content-type": content_type})
    assert response.status_code == 202


async def test_bad_json_is_400_and_says_where(client: httpx.AsyncClient) -> None:
    body = problem_of(await client.post("/v1/events", content=b'{"type": }'), 400, "bad-json")
    assert body["detail"] == "The event is not valid JSON (line 1, column 10)."


async def test_bad_fields_are_422_and_named(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    response = await client.post("/v1/events", json=an_event(identity={"email": "jane"}, type=""))
    body = problem_of(response, 422, "invalid-event")
    assert body["errors"] == [
        {"pointer": "/type", "detail": "is required"},
        {"pointer": "/identity/email", "detail": "must be an e-mail address"},
    ]
    assert body["detail"] == "/type is required; /identity/email must be an e-mail address."
    assert storage.records == []


@pytest.mark.parametrize("query", ["source=a%20b", "mode=past", "source=scoring"])
async def test_bad_parameters_are_422_and_named(client: httpx.AsyncClient, query: str) -> None:
    body = problem_of(await client.post(f"/v1/events?{query}", json=an_event()), 422, "invalid-parameters")
    assert body["errors"][0]["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.ZstdCompressor().compress)]
)
async def test_a_compressed_body_is_read(
    client: httpx.AsyncClient, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    body = compress(json.dumps(an_event(event_id="e-1")).encode())
    response = await client.post("/v1/events", content=body, headers={"content-encoding": encoding})
    assert response.json() == {"event_id": "e-1", "status": "accepted"}


async def test_an_encoding_nobody_here_knows_is_415_and_told_the_others(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/events", content=b"\x1b", headers={"content-encoding": "br"})
    problem_of(response, 415, "unsupported-encoding")
    assert response.headers["accept-encoding"] == "gzip, zstd"


async def test_a_body_that_is_not_what_its_encoding_says_is_400(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/events", content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    problem_of(response, 400, "bad-encoding")


async def test_a_body_that_grows_beyond_the_limit_is_413(client: httpx.AsyncClient) -> None:
    body = gzip.compress(b" " * (limits.EVENT_BYTES_MAX + 1))
    response = await client.post("/v1/events", content=body, headers={"content-encoding": "gzip"})
    problem_of(response, 413, "too-large")


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/v1/events", limits.EVENT_BYTES_MAX),
        ("/v1/events/batch", limits.BODY_BYTES_MAX),
        ("/v1/outcomes", limits.BODY_BYTES_MAX),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_is_read_no_further_than_its_limit(app: Api, path: str, most: int, announced: bool) -> None:
    chunk = b" " * 65_536
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-length", str(most + 1).encode())] if announced else []
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent[0]["status"] == 413
    assert taken == (0 if announced else most + len(chunk))


async def test_a_single_outcome_has_the_limit_of_one(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/outcomes", json=an_outcome(note="x" * limits.EVENT_BYTES_MAX))
    problem_of(response, 413, "too-large")


async def test_a_client_that_hangs_up_in_its_body_leaves_nothing(app: Api, storage: MemoryStore) -> None:
    messages = [{"type": "http.request", "body": b'{"ty', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError("there is nobody to answer")

    scope = {"type": "http", "method": "POST", "path": "/v1/events", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    assert storage.records == []


async def test_not_acknowledged_is_503_naming_the_id_to_retry_with(
    client: httpx.AsyncClient, storage: MemoryStore
) -> None:
    storage.results = {"e-1": TIMED_OUT}
    response = await client.post("/v1/events", json=an_event(event_id="e-1"))
    body = problem_of(response, 503, "not-stored")
    assert response.headers["retry-after"] == str(limits.RETRY_AFTER_SECONDS)
    assert body["event_id"] == "e-1"
    assert "same event_id" in body["detail"]


async def test_an_event_in_the_spool_is_taken_and_says_so(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    storage.results = {"e-1": Stored.SPOOL}
    response = await client.post("/v1/events", json=an_event(event_id="e-1"))
    assert (response.status_code, response.json()) == (
        202,
        {"event_id": "e-1", "status": "accepted", "spooled": True},
    )


async def test_a_record_the_log_finds_too_large_is_413(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    storage.results = {"e-1": TOO_LARGE}
    problem_of(await client.post("/v1/events", json=an_event(event_id="e-1")), 413, "too-large")


async def test_a_batch_answers_for_each_event_in_order(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    storage.results = {"e-4": TIMED_OUT, "e-5": TOO_LARGE}
    sent = [
        an_event(event_id="e-1"),
        an_event(event_id="e-1"),
        an_event(event_id="e-2", type="BAD"),
        an_event(event_id="e-3"),
        an_event(event_id="e-4"),
        an_event(event_id="e-5"),
    ]
    response = await client.post("/v1/events/batch", json={"events": sent})
    assert response.status_code == 202
    results = response.json()["results"]
    assert [result["index"] for result in results] == list(range(6))
    assert [result["event_id"] for result in results] == ["e-1", "e-1", "e-2", "e-3", "e-4", "e-5"]
    assert statuses_of(response) == ["accepted", "duplicate", "invalid", "accepted", "retry", "invalid"]
    assert results[0]["detail"] is None
    assert results[2]["errors"][0]["pointer"] == "/type"
    assert [dict(record.headers)["ce_id"] for record in storage.records] == [b"e-1", b"e-3"]


async def test_one_oversized_event_leaves_its_neighbours_alone(client: httpx.AsyncClient) -> None:
    large = an_event(properties={"x": "y" * limits.EVENT_BYTES_MAX})
    response = await client.post("/v1/events/batch", json={"events": [an_event(), large, an_event()]})
    assert statuses_of(response) == ["accepted", "invalid", "accepted"]


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "Application/X-NDJSON; charset=utf-8"])
async def test_ndjson_is_a_batch_in_which_a_broken_line_is_one_bad_event(
    client: httpx.AsyncClient, content_type: str
) -> None:
    lines = [json.dumps(an_event()), "{broken", "", json.dumps(an_event())]
    response = await client.post(
        "/v1/events/batch", content="\r\n".join(lines) + "\n", headers={"content-type": content_type}
    )
    assert response.status_code == 202
    assert statuses_of(response) == ["accepted", "invalid", "accepted"]
    assert response.json()["results"][1]["event_id"] is None


async def test_a_batch_of_nothing_but_invalid_events_is_422_with_the_results(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/events/batch", json={"events": [{}, 7]})
    problem_of(response, 422, "invalid-event")
    assert statuses_of(response) == ["invalid", "invalid"]


async def test_a_batch_in_which_nothing_is_stored_is_503_with_the_results(
    client: httpx.AsyncClient, storage: MemoryStore
) -> None:
    storage.results = {"e-1": TIMED_OUT}
    response = await client.post("/v1/events/batch", json={"events": [an_event(event_id="e-1"), {}]})
    problem_of(response, 503, "not-stored")
    assert response.headers["retry-after"] == str(limits.RETRY_AFTER_SECONDS)
    assert statuses_of(response) == ["retry", "invalid"]


@pytest.mark.parametrize(
    ("content", "status", "slug", "pointer"),
    [
        (b"{", 400, "bad-json", None),
        (b'{"events": [{},]}', 400, "bad-json", None),
        (b"[]", 422, "invalid-batch", ""),
        (b"{}", 422, "invalid-batch", "/events"),
        (b'{"events": {}}', 422, "invalid-batch", "/events"),
        (b'{"events": []}', 422, "invalid-batch", "/events"),
        (b'{"events": [%s]}' % b",".join([b"1"] * 1001), 413, "too-large", None),
    ],
)
async def test_a_batch_of_another_form_is_refused_whole(
    client: httpx.AsyncClient, content: bytes, status: int, slug: str, pointer: str | None
) -> None:
    body = problem_of(await client.post("/v1/events/batch", content=content), status, slug)
    assert [error["pointer"] for error in body.get("errors", [])] == ([] if pointer is None else [pointer])


async def test_an_outcome_goes_to_its_own_topic(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    response = await client.post("/v1/outcomes", json=an_outcome(event_id="o-1"))
    assert (response.status_code, response.json()) == (202, {"event_id": "o-1", "status": "accepted"})
    assert storage.records[0].topic == "t.lead-outcomes"
    assert storage.records[0].key == LEAD_ID.encode()


async def test_outcomes_may_come_in_a_batch(client: httpx.AsyncClient) -> None:
    sent = [an_outcome(event_id="o-1"), an_outcome(type="lost"), an_outcome(event_id="o-1")]
    response = await client.post("/v1/outcomes", json={"outcomes": sent})
    assert response.status_code == 202
    assert statuses_of(response) == ["accepted", "invalid", "duplicate"]


async def test_a_bad_outcome_is_422_and_named(client: httpx.AsyncClient) -> None:
    body = problem_of(await client.post("/v1/outcomes", json={"type": "sold"}), 422, "invalid-outcome")
    assert {error["pointer"] for error in body["errors"]} == {"/type"}


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/batch", "/v1/outcomes"])
async def test_only_posts_are_taken(client: httpx.AsyncClient, path: str) -> None:
    response = await client.put(path, json=an_event())
    problem_of(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST, OPTIONS"


async def test_answers_are_counted_by_kind_and_result(client: httpx.AsyncClient) -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def counts() -> list[float]:
        return [
            count("funnel_ingest_items_total", kind="event", result="accepted"),
            count("funnel_ingest_items_total", kind="event", result="invalid"),
            count("funnel_ingest_event_types_total", type="form.submitted"),
            count("funnel_ingest_event_types_total", type="other"),
            count("funnel_ingest_requests_total", endpoint="/v1/events/batch", status="202"),
            count("funnel_ingest_request_seconds_count", endpoint="/v1/events/batch"),
        ]

    before = counts()
    sent = [an_event(), an_event(type="a.type.of.their.own"), an_event(type="BAD")]
    await client.post("/v1/events/batch", json={"events": sent})
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [2, 1, 1, 1, 1, 1]


async def test_no_answer_or_metric_repeats_personal_data(client: httpx.AsyncClient) -> None:
    private = "jane.private"
    for event in (an_event(identity={"email": private}), an_event(type=private.upper()), [private]):
        assert private not in (await client.post("/v1/events", json=event)).text.lower()
    await client.post("/v1/events", json=an_event(identity={"email": f"{private}@example.com"}))
    assert private not in (await client.get("/metrics")).text


async def test_the_openapi_document_has_every_endpoint_with_every_answer(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path in ("/v1/events", "/v1/events/batch", "/v1/outcomes"):
        operation = document["paths"][path]["post"]
        refusals = {"400", "401", "403", "408", "409", "413", "415", "422", "429", "503"}
        assert set(operation["responses"]) == {"202", *refusals}
        assert [parameter["name"] for parameter in operation["parameters"]] == ["source", "mode", "Idempotency-Key"]


async def test_every_reference_in_the_openapi_document_leads_somewhere(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*(references(item) for item in part.values()))
        return set().union(*(references(item) for item in part)) if isinstance(part, list) else set()

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    found = references(document)
    assert "#/components/schemas/ClientEvent" in found
    assert found <= known


async def test_what_a_client_must_give_is_said_in_the_openapi_document(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    assert schemas["ClientEvent"]["required"] == ["type", "identity"]
    assert not {"source", "received_at", "mode"} & schemas["ClientEvent"]["properties"].keys()
    assert schemas["ClientOutcome"]["required"] == ["type"]
