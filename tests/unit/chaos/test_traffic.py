"""What the clients of the matrix send."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest

from chaos.traffic import Item, Request, Way, cast, outcome, requests

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def sent() -> list[Request]:
    return list(requests(7, cast(7, 1000, NOW)))


def test_the_same_seed_sends_the_same(sent: list[Request]) -> None:
    assert list(requests(7, cast(7, 1000, NOW))) == sent
    assert list(requests(8, cast(8, 1000, NOW))) != sent


def test_there_is_enough_of_it_in_every_way(sent: list[Request]) -> None:
    assert sum(len(request.items) for request in sent) >= 1000
    assert {request.way for request in sent} == {Way.SINGLE, Way.BATCH, Way.NDJSON, Way.FORM}


def test_everything_of_every_journey_goes_out_as_often_as_it_says(sent: list[Request]) -> None:
    found = Counter((item.source, item.event_id) for request in sent for item in request.items)
    posts = [post for journey in cast(7, 1000, NOW) for post in journey.posts]
    assert found == Counter({(post.source, post.event_id): post.times for post in posts})


def test_a_repeat_has_the_same_bytes_and_a_request_has_one_source(sent: list[Request]) -> None:
    digests: dict[tuple[str, str], set[str]] = {}
    for request in sent:
        assert {item.source for item in request.items} == {request.source}
        for item in request.items:
            digests.setdefault((item.source, item.event_id), set()).add(item.digest)
    assert {len(found) for found in digests.values()} == {1}


def test_a_person_is_told_by_their_address_once_they_gave_a_name(sent: list[Request]) -> None:
    people = {journey.person.email for journey in cast(7, 1000, NOW) if journey.person}
    named = {item.person for request in sent for item in request.items if not item.person.startswith("v-")}
    assert named == people


def test_the_body_of_each_way_is_what_ingest_takes(sent: list[Request]) -> None:
    batch = next(one for one in sent if one.way is Way.BATCH and len(one.items) > 1)
    assert [event["event_id"] for event in json.loads(batch.content)["events"]] == [i.event_id for i in batch.items]
    lines = next(one for one in sent if one.way is Way.NDJSON and len(one.items) > 1)
    assert [json.loads(line)["event_id"] for line in lines.content.splitlines()] == [i.event_id for i in lines.items]
    form = next(one for one in sent if one.way is Way.FORM)
    assert form.path.startswith("/v1/forms/")
    assert parse_qs(form.content.decode())["_event_id"] == [form.items[0].event_id]


def test_an_outcome_is_about_its_lead() -> None:
    body = {"event_id": "o-1", "lead_id": "lead", "type": "accepted"}
    item = outcome(body, "sales-tool")
    assert item == Item("outcome", "sales-tool", "o-1", "lead", "accepted", item.content)
    assert json.loads(Request(Way.OUTCOMES, (item,)).content) == body
