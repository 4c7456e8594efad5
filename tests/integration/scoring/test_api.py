"""What people ask scoring."""

from __future__ import annotations

import pytest

from funnel.contracts import Person
from funnel.settings import Settings
from tests.integration.scoring.test_service import all_read
from tests.support import eventually
from tests.support.scoring import event
from tests.support.scoring_service import record, scoring, send

MAIL = "taro@example.com"


async def given_a_journey(settings: Settings) -> None:
    journey = [
        event(visitor="v", minute=1, event_id="visit"),
        event(
            "form.submitted",
            visitor="v",
            email=MAIL,
            phone="03-1234-5678",
            external={"crm": "42"},
            minute=2,
            event_id="form",
            person=Person(name="Taro"),
        ),
        event("email.opened", email=MAIL, minute=3, event_id="opened", mode="history"),
    ]
    await send(settings, [record(one, 0) for one in journey])
    await eventually(lambda: all_read(settings, len(journey)))


async def test_a_lead_is_found_by_each_identifier_however_it_is_written(settings: Settings) -> None:
    async with scoring(settings) as client:
        await given_a_journey(settings)
        questions = [
            {"email": "ＴＡＲＯ@example.com"},
            {"phone": "+81 3 1234 5678"},
            {"external_id": "CRM:42"},
            {"external_id": {"system": "crm", "id": "42"}},
        ]
        answers = [await client.post("/v1/leads/lookup", json=question) for question in questions]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["lead_id"] for answer in answers}) == 1


async def test_a_lead_shows_its_state_and_its_touches_in_order_over_pages(settings: Settings) -> None:
    async with scoring(settings) as client:
        await given_a_journey(settings)
        lead_id = (await client.post("/v1/leads/lookup", json={"email": MAIL})).json()["lead_id"]
        first = (await client.get(f"/v1/leads/{lead_id}", params={"limit": 2})).json()
        last = (await client.get(f"/v1/leads/{lead_id}", params={"limit": 2, "after": first["next"]})).json()

    assert (first["lead"]["stage"], first["lead"]["score"], first["lead"]["person"]["name"]) == ("mql", 52, "Taro")
    assert sum(reason["points"] for reason in first["lead"]["reasons"]) == 52
    assert [touch["event_id"] for touch in first["touches"] + last["touches"]] == ["visit", "form", "opened"]
    assert [touch["mode"] for touch in first["touches"] + last["touches"]] == ["live", "live", "history"]
    assert first["touches"][1]["details"]["identity"]["phone"] == "03-1234-5678"
    assert last["next"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"email": "a@example.com", "phone": "1"}, ""),
        ({"email": ""}, "/email"),
        ({"mail": "a@example.com"}, "/mail"),
        ({"phone": 5}, "/phone"),
    ],
)
async def test_a_question_that_cannot_be_understood_is_refused_by_field(
    settings: Settings, body: dict[str, object], pointer: str
) -> None:
    async with scoring(settings) as client:
        answer = await client.post("/v1/leads/lookup", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


async def test_unknown_leads_and_pages_are_problems(settings: Settings) -> None:
    nobody = "/v1/leads/00000000-0000-0000-0000-000000000000"
    async with scoring(settings) as client:
        await send(settings, [record(event(visitor="v"), 0)])
        await eventually(lambda: all_read(settings, 1))
        by_mail = await client.post("/v1/leads/lookup", json={"email": MAIL})
        by_id = await client.get(nobody)
        no_id = await client.get("/v1/leads/someone")
        no_page = await client.get(nobody, params={"after": "%%%"})

    assert [answer.status_code for answer in (by_mail, by_id, no_id, no_page)] == [404, 404, 422, 422]
    assert all(answer.json()["type"].startswith("urn:funnel:problem:") for answer in (by_mail, by_id, no_id, no_page))


async def test_the_service_says_when_it_is_ready(settings: Settings) -> None:
    async with scoring(settings) as client:

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        assert await eventually(ready)
        assert (await client.get("/livez")).status_code == 200
