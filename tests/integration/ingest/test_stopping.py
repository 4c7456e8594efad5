"""The process refuses to start, or ends, politely or not, while clients post: every 202 that was given is kept."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator

import httpx
import pytest

from funnel.settings import Settings
from tests.integration.ingest.service import client_of, ids, process, read
from tests.support import eventually
from tests.support.serving import answers
from tests.unit.ingest.given import an_event

CLIENTS = 8


class Posting:
    """Clients that post one event after the other until nobody listens any more."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._numbers = itertools.count()
        self.accepted: list[str] = []
        self.other: list[int] = []

    async def run(self) -> None:
        while True:
            event_id = f"e-{next(self._numbers)}"
            try:
                response = await self._client.post("/v1/events", json=an_event(event_id=event_id))
            except httpx.TransportError:
                return
            if response.status_code == 202:
                self.accepted.append(event_id)
            else:
                self.other.append(response.status_code)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
async def test_every_202_is_on_the_topic(settings: Settings, number: signal.Signals) -> None:
    with process(settings) as ingest:
        async with client_of(settings) as client:
            await eventually(lambda: answers(client))
            posting = Posting(client)
            tasks = [asyncio.create_task(posting.run()) for _ in range(CLIENTS)]
            await eventually(lambda: len(posting.accepted) > 200)
            ingest.send_signal(number)
            await asyncio.gather(*tasks)
        code = await asyncio.to_thread(ingest.wait)
    assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)
    assert posting.other == []
    assert set(posting.accepted) <= set(ids(read(settings)))


async def test_what_is_in_flight_at_sigterm_is_answered(settings: Settings) -> None:
    with process(settings) as ingest:
        async with client_of(settings) as client:
            await eventually(lambda: answers(client))
            go_on = asyncio.Event()

            async def slow_body() -> AsyncIterator[bytes]:
                yield b'{"type": "form.submitted", "event_id": "e-1", '
                go_on.set()
                await eventually(lambda: stopped_listening(settings))
                yield b'"identity": {"email": "jane@example.com"}}'

            post = asyncio.create_task(client.post("/v1/events", content=slow_body()))
            await go_on.wait()
            ingest.send_signal(signal.SIGTERM)
            assert (await post).status_code == 202
        assert await asyncio.to_thread(ingest.wait) == 0
    assert ids(read(settings)) == ["e-1"]


async def stopped_listening(settings: Settings) -> bool:
    try:
        _, writer = await asyncio.open_connection(settings.host, settings.ingest_port)
    except OSError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"topic_prefix": "no.such."}, b"Topic no.such.lead-events does not exist"),
        ({"waive_replication": False}, b"lead-events has 1 replicas"),
    ],
)
async def test_a_promise_that_cannot_be_kept_is_not_made(
    settings: Settings, changed: dict[str, object], sentence: bytes
) -> None:
    with process(settings.model_copy(update=changed)) as ingest:
        _, said = await asyncio.to_thread(ingest.communicate)
    assert ingest.returncode == 1
    assert sentence in said
    assert b"Traceback" not in said
