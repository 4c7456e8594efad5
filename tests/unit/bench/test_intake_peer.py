"""The opponent does the whole job: a comparison with one that leaves half of it out would say nothing."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiokafka.errors import KafkaError
from httpx import ASGITransport, AsyncClient

from bench import checks, intake_peer
from bench.events import rich
from bench.intake_load import Answer

KEY = "fsk_of-a-test"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


class Topic:
    """Stands in for the producer; refuses the events whose ids are in `refused`."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.keys: list[bytes] = []
        self.refused: set[bytes] = set()

    async def send_and_wait(self, topic: str, *, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        if dict(headers)["ce_id"] in self.refused:
            raise KafkaError
        self.keys.append(key)
        self.values.append(value)


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def client(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> AsyncClient:
    keys = {"bench": hashlib.sha256(KEY.encode()).hexdigest()}
    monkeypatch.setattr(intake_peer, "settings", intake_peer.Settings(keys=keys))
    monkeypatch.setitem(intake_peer.app.dependency_overrides, intake_peer.get_producer, lambda: topic)
    transport = ASGITransport(intake_peer.app)
    return AsyncClient(transport=transport, base_url="http://peer", headers={"authorization": f"Bearer {KEY}"})


def stored(topic: Topic) -> list[dict[str, Any]]:
    return [msgspec.json.decode(value) for value in topic.values]


async def test_one_event_is_stored_whole_and_answered_as_ours_is(client: AsyncClient, topic: Topic) -> None:
    (event,) = rich("00", 1, NOW)
    answer = await client.post("/v1/events", json=event)
    assert checks.of_answers([Answer(answer.status_code, answer.text)], [[event["event_id"]]]) == []
    assert checks.of_stored(stored(topic), [event]) == []
    assert stored(topic)[0]["source"] == "bench"
    assert "received_at" in stored(topic)[0]


@pytest.mark.parametrize("path", ["/v1/events/batch", "/v1/events/batch/gathered"])
async def test_a_batch_too(client: AsyncClient, topic: Topic, path: str) -> None:
    events = rich("00", 5, NOW)
    answer = await client.post(path, json={"events": events})
    ids = [event["event_id"] for event in events]
    assert checks.of_answers([Answer(answer.status_code, answer.text)], [ids]) == []
    assert checks.of_stored(stored(topic), events) == []
    assert len(set(topic.keys)) == len(events)


async def test_fields_that_nobody_knows_are_kept(client: AsyncClient, topic: Topic) -> None:
    await client.post("/v1/events", json={"type": "page.viewed", "identity": {"visitor_id": "v-1"}, "extra": [1]})
    assert stored(topic)[0]["extra"] == [1]


async def test_what_kafka_does_not_take_is_not_called_stored(client: AsyncClient, topic: Topic) -> None:
    first, second = rich("00", 2, NOW)
    topic.refused = {second["event_id"].encode()}
    assert (await client.post("/v1/events", json=second)).status_code == 503
    results = (await client.post("/v1/events/batch", json={"events": [first, second]})).json()["results"]
    assert [result["status"] for result in results] == ["accepted", "retry"]


@pytest.mark.parametrize("headers", [{"authorization": "Bearer fsk_other"}, {"authorization": ""}])
async def test_without_a_known_key_nothing_is_taken(client: AsyncClient, topic: Topic, headers: dict[str, str]) -> None:
    assert (await client.post("/v1/events", json=rich("00", 1, NOW)[0], headers=headers)).status_code in (401, 403)
    assert not topic.values


@pytest.mark.parametrize(
    "change",
    [{"type": "Bad Type"}, {"identity": {}}, {"person": {"employees": -1}}, {"occurred_at": "2026-11-22T09:00:00"}],
)
async def test_unfit_events_are_refused(client: AsyncClient, topic: Topic, change: dict[str, Any]) -> None:
    assert (await client.post("/v1/events", json=rich("00", 1, NOW)[0] | change)).status_code == 422
    assert not topic.values
