"""What `/readyz` knows about Kafka and Postgres, and when that ends the process."""

from __future__ import annotations

import asyncio

import pytest

from funnel.errors import BadData, Conflict, DatabaseAway, FunnelError, UnsafeSettings
from funnel.kafka.consumer import KafkaAway
from services.ingest import watch as module
from services.ingest.watch import Watch
from tests.support import eventually


class Server:
    """Fails the check with `error`, while there is one."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.looks = 0

    async def check(self) -> None:
        self.looks += 1
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("away", [KafkaAway, DatabaseAway, Conflict, BadData])
async def test_it_follows_a_server_that_cannot_be_used_and_then_can_again(away: type[FunnelError]) -> None:
    server = Server()
    watch = Watch("server", server.check)
    for error, ready in ((None, None), (away("Gone."), "Gone."), (None, None)):
        server.error = error
        await watch.look()
        assert watch.ready() == ready


async def test_it_keeps_looking_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.001)
    server, stop = Server(), asyncio.Event()
    task = asyncio.create_task(Watch("server", server.check).run(stop))
    await eventually(lambda: server.looks > 3)
    stop.set()
    await task


async def test_settings_that_became_unsafe_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD_SECONDS", 0.001)
    server = Server()
    watch = Watch("server", server.check)
    await watch.look()
    server.error = UnsafeSettings("One copy.")
    with pytest.raises(UnsafeSettings):
        await watch.run(asyncio.Event())


async def test_a_server_that_was_away_at_first_is_judged_by_its_first_answer() -> None:
    server = Server()
    server.error = DatabaseAway("Gone.")
    watch = Watch("server", server.check, only_first=True)
    await watch.look()
    server.error = UnsafeSettings("No fsync.")
    with pytest.raises(UnsafeSettings):
        await watch.look()


async def test_where_each_use_asks_for_itself_settings_that_became_unsafe_are_news_until_they_are_safe_again() -> None:
    server = Server()
    watch = Watch("server", server.check, only_first=True)
    for error, ready in ((None, None), (UnsafeSettings("No fsync."), "No fsync."), (None, None)):
        server.error = error
        await watch.look()
        assert watch.ready() == ready
