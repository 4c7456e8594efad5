"""What a form is answered when the intake has trouble; `tests/integration/ingest/test_forms.py` has the real one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from funnel.http import HttpProblem, create_app
from funnel.ids import derived_event_id
from services.ingest import openapi
from services.ingest.domain.batch import Stored
from services.ingest.forms import OnPages, add_endpoints
from services.ingest.handlers import Intake
from services.ingest.receipts import Receipts
from services.ingest.turnstile import Turnstile
from services.ingest.wire import answer_problem, send_answer
from tests.unit.ingest.given import SECRET, FixedClock, MemoryStore, doors

FORM = "/v1/forms/contact"
SOMEBODY = {"email": "a@example.com"}
BROWSER = {"accept": "text/html,*/*;q=0.8", "accept-language": "ja"}


class Full(MemoryStore):
    """Says the same of every record."""

    def __init__(self, answer: Stored) -> None:
        super().__init__()
        self.answer = answer

    async def store(self, records: object) -> list[Stored]:
        return [self.answer]


async def client_of(storage: MemoryStore) -> httpx.AsyncClient:
    async def ready() -> Mapping[str, str]:
        return {}

    app = create_app("Funnel ingest", ready=ready)
    clock = FixedClock()
    intake = Intake(
        storage,
        Receipts(storage, clock, process="p", topic_prefix="t."),
        clock,
        key_secret=SECRET,
        topic_prefix="t.",
    )
    app.add_components(openapi.schemas(), openapi.SECURITY_SCHEMES)
    add_endpoints(app, doors(), intake, Turnstile(""), clock, token_key=None)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
def storage() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def client(storage: MemoryStore) -> AsyncIterator[httpx.AsyncClient]:
    async with await client_of(storage) as client:
        yield client


async def test_what_is_not_known_to_be_stored_is_never_called_so() -> None:
    async with await client_of(Full(Stored.UNKNOWN)) as client:
        response = await client.post(FORM, data=SOMEBODY)
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")
        assert response.json()["event_id"]
        shown = await client.post(FORM, data=SOMEBODY, headers=BROWSER)
    assert (shown.status_code, shown.headers["retry-after"]) == (503, "2")
    assert "しばらくしてから" in shown.text


async def test_a_form_in_the_spool_says_so() -> None:
    async with await client_of(Full(Stored.SPOOL)) as client:
        assert (await client.post(FORM, data=SOMEBODY)).json()["spooled"] is True


async def test_what_the_log_finds_too_large_is_refused() -> None:
    async with await client_of(Full(Stored.TOO_LARGE)) as client:
        response = await client.post(FORM, data=SOMEBODY)
        shown = await client.post(FORM, data=SOMEBODY, headers=BROWSER)
    assert (response.status_code, response.json()["type"]) == (413, "urn:funnel:problem:too-large")
    assert "短くして" in shown.text


async def test_what_is_refused_before_a_form_is_read_is_told_to_people_too() -> None:
    async def noisy(_: Scope, __: Receive, send: Send) -> None:
        problem = HttpProblem(429, "rate-limited", "Rate limited", "Too much.", headers={"Retry-After": "7"})
        await send_answer(send, answer_problem(problem))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(OnPages(noisy)), base_url="http://test") as client:
        shown, told = await client.post(FORM, headers=BROWSER), await client.post(FORM)
    assert (shown.status_code, shown.headers["retry-after"]) == (429, "7")
    assert "しばらくしてから" in shown.text
    assert (told.status_code, told.json()["type"]) == (429, "urn:funnel:problem:rate-limited")


async def test_a_form_sent_again_under_its_idempotency_key_has_the_same_id(
    client: httpx.AsyncClient, storage: MemoryStore
) -> None:
    for _ in range(2):
        await client.post(FORM, data=SOMEBODY, headers={"idempotency-key": "k-1"})
    ids = {dict(record.headers)["ce_id"].decode() for record in storage.records}
    assert ids == {derived_event_id("default", FORM, "k-1", 0)}


async def test_the_forms_own_id_comes_before_all_others(client: httpx.AsyncClient, storage: MemoryStore) -> None:
    fields = {**SOMEBODY, "_event_id": "e-1", "_token": "t"}
    response = await client.post(FORM, data=fields, headers={"idempotency-key": "k-1"})
    assert response.json()["event_id"] == "e-1"
    assert json.loads(storage.records[0].value)["event_id"] == "e-1"


async def test_without_a_secret_tokens_tell_double_clicks_but_judge_nobody(
    client: httpx.AsyncClient, storage: MemoryStore
) -> None:
    token = (await client.get(f"{FORM}/token")).json()["token"]
    for _ in range(2):
        await client.post(FORM, data={**SOMEBODY, "_token": token})
    assert len({dict(record.headers)["ce_id"] for record in storage.records}) == 1
    assert "ce_suspect" not in dict(storage.records[0].headers)


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        ("text/html,application/xhtml+xml", True),
        ("TEXT/HTML", True),
        ("*/*", False),
        ("application/json, text/plain, */*", False),
        ("", False),
    ],
)
async def test_who_shows_the_answer_to_a_person_gets_a_page(
    client: httpx.AsyncClient, accept: str, is_page: bool
) -> None:
    for fields in (SOMEBODY, {"x": "y"}):
        response = await client.post(FORM, data=fields, headers={"accept": accept})
        assert response.headers["content-type"].startswith("text/html") is is_page


async def test_whoever_opens_a_forms_address_by_hand_is_told_in_words(client: httpx.AsyncClient) -> None:
    response = await client.get(FORM, headers=BROWSER)
    assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")
    assert response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "fields",
    [
        {"_first_touch": '{"landing_url": "https://x.example/?q=\\ud83d"}'},
        {"_last_touch": '{"utm": {"source": "\\u0000"}}'},
        {"_page_url": "https://x.example/?utm_source=%00&gclid=%00"},
    ],
)
async def test_a_form_is_never_lost_for_what_its_page_could_not_write(
    client: httpx.AsyncClient, storage: MemoryStore, fields: dict[str, str]
) -> None:
    referer = "https://x.example/?utm_campaign=%00"
    assert (await client.post(FORM, data={**SOMEBODY, **fields}, headers={"referer": referer})).status_code == 202
    assert (await client.post(FORM, json={**SOMEBODY, **fields})).status_code == 202
    assert len(storage.records) == 2
