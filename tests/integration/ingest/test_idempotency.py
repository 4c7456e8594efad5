"""Idempotency-Keys on a real Postgres: the work is done once, and its answer told to whoever repeats the request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
import pytest

from funnel.http import HttpProblem
from funnel.postgres import Database
from services.ingest import idempotency as module
from services.ingest.domain import limits
from services.ingest.idempotency import Idempotency
from services.ingest.wire import Answer
from tests.support import eventually

TAKEN = Answer(202, b'{"event_id": "e-1"}')


class Work:
    """Counts how often it is done; waits while it is `held`."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.times = 0
        self._answers = answers or (TAKEN,)
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self) -> Answer:
        answer = self._answers[min(self.times, len(self._answers) - 1)]
        self.times += 1
        await self.free.wait()
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Idempotency]:
    database = Database.lazy(dsn, schema="ingest", application_name="test")
    try:
        yield Idempotency(database)
    finally:
        await database.close()


@pytest.fixture
async def idempotency(database_dsn: str) -> AsyncIterator[Idempotency]:
    async with opened(database_dsn) as one:
        yield one


async def ask(
    idempotency: Idempotency,
    work: Callable[[], Awaitable[Answer]],
    *,
    source: str = "shop",
    path: str = "/v1/events",
    key: str = "k-1",
    body: bytes = b"a body",
) -> Answer:
    return await idempotency.once(source=source, path=path, key=key, fingerprint=body, work=work)


def change(dsn: str, statement: str) -> int:
    with psycopg.connect(dsn, options="-c search_path=ingest") as connection:
        return connection.execute(statement.encode()).rowcount


async def test_a_repeat_gets_the_same_answer_without_the_work(idempotency: Idempotency) -> None:
    redirect = Answer(303, b"", {b"location": b"https://www.example.com/thanks", b"x": b"\xff"}, b"text/html")
    for given in (TAKEN, redirect, Answer(422, b"{}"), Answer(200, bytes(range(256)))):
        work, key = Work(given), f"k-{given.status}"
        assert await ask(idempotency, work, key=key) == given
        again = await ask(idempotency, work, key=key)
        assert (again.status, again.body, again.content_type) == (given.status, given.body, given.content_type)
        assert again.headers == {**given.headers, b"idempotent-replayed": b"true"}
        assert work.times == 1


async def test_the_same_key_of_another_source_or_path_is_another_key(idempotency: Idempotency) -> None:
    work = Work()
    await ask(idempotency, work)
    await ask(idempotency, work, source="other")
    await ask(idempotency, work, path="/v1/outcomes")
    await ask(idempotency, work, key="K-1")
    assert work.times == 4


async def test_another_body_under_the_same_key_is_refused(idempotency: Idempotency) -> None:
    work = Work()
    await ask(idempotency, work)
    with pytest.raises(HttpProblem) as refused:
        await ask(idempotency, work, body=b"another body")
    assert (refused.value.status, refused.value.slug) == (422, "idempotency-key-reused")
    assert work.times == 1


async def test_the_key_is_taken_before_the_work_begins(idempotency: Idempotency, database_dsn: str) -> None:
    seen: list[int] = []

    async def work() -> Answer:
        seen.append(change(database_dsn, "SELECT FROM idempotency WHERE status IS NULL"))
        return TAKEN

    await ask(idempotency, work)
    assert seen == [1]


async def test_of_two_processes_at_the_same_time_one_works_and_the_other_is_told_to_wait(
    idempotency: Idempotency, database_dsn: str
) -> None:
    work = Work()
    work.free.clear()
    async with opened(database_dsn) as other:
        tasks = [asyncio.create_task(ask(one, work)) for one in (idempotency, other, idempotency, other)]
        await eventually(lambda: sum(task.done() for task in tasks) == 3)
        work.free.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [result for result in results if isinstance(result, HttpProblem)]
    assert [(error.status, error.headers) for error in refused] == [(409, {"Retry-After": "2"})] * 3
    assert [result for result in results if result not in refused] == [TAKEN]
    assert work.times == 1
    assert (await ask(idempotency, work)).headers == {b"idempotent-replayed": b"true"}


@pytest.mark.parametrize("status", [401, 403, 408, 409, 429, 500, 503])
async def test_an_answer_that_may_change_is_not_kept(idempotency: Idempotency, status: int) -> None:
    work = Work(Answer(status, b"{}"), TAKEN)
    assert (await ask(idempotency, work)).status == status
    assert await ask(idempotency, work) == TAKEN
    assert work.times == 2


async def test_a_batch_of_which_some_may_be_sent_again_is_not_kept(idempotency: Idempotency) -> None:
    work = Work(Answer(202, b"some of it", settled=False), TAKEN)
    assert (await ask(idempotency, work)).body == b"some of it"
    assert await ask(idempotency, work) == TAKEN


async def test_work_that_raised_leaves_the_key_free(idempotency: Idempotency) -> None:
    work = Work(ZeroDivisionError(), TAKEN)
    with pytest.raises(ZeroDivisionError):
        await ask(idempotency, work)
    assert await ask(idempotency, work) == TAKEN


async def test_work_that_was_broken_off_leaves_the_key_free(idempotency: Idempotency) -> None:
    work = Work()
    work.free.clear()
    task = asyncio.create_task(ask(idempotency, work))
    await eventually(lambda: work.times == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    work.free.set()
    assert await ask(idempotency, work) == TAKEN


async def killed(idempotency: Idempotency, dsn: str, seconds: int) -> None:
    """A request whose process died in the middle, so many seconds ago."""
    await ask(idempotency, Work())
    assert change(dsn, f"UPDATE idempotency SET status = NULL, started_at = now() - interval '{seconds} s'") == 1


async def test_work_that_died_with_its_process_is_taken_over_after_a_minute(
    idempotency: Idempotency, database_dsn: str
) -> None:
    await killed(idempotency, database_dsn, 50)
    work = Work()
    with pytest.raises(HttpProblem) as refused:
        await ask(idempotency, work)
    assert refused.value.status == 409
    change(database_dsn, "UPDATE idempotency SET started_at = started_at - interval '11 s'")
    with pytest.raises(HttpProblem) as refused:
        await ask(idempotency, work, body=b"another body")
    assert refused.value.status == 422
    assert await ask(idempotency, work) == TAKEN
    assert (await ask(idempotency, work)).headers == {b"idempotent-replayed": b"true"}
    assert work.times == 1


async def test_of_many_that_want_to_take_over_one_does(idempotency: Idempotency, database_dsn: str) -> None:
    await killed(idempotency, database_dsn, 61)
    work = Work()
    work.free.clear()
    tasks = [asyncio.create_task(ask(idempotency, work)) for _ in range(10)]
    await eventually(lambda: sum(task.done() for task in tasks) == 9)
    work.free.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert work.times == 1
    assert [result for result in results if result == TAKEN] == [TAKEN]


async def test_work_that_was_taken_over_and_ends_after_all_changes_nothing(
    idempotency: Idempotency, database_dsn: str
) -> None:
    slow = Work(Answer(202, b"slow"))
    slow.free.clear()
    task = asyncio.create_task(ask(idempotency, slow))
    await eventually(lambda: slow.times == 1)
    change(database_dsn, "UPDATE idempotency SET started_at = now() - interval '61 s'")
    assert await ask(idempotency, Work()) == TAKEN
    slow.free.set()
    assert (await task).body == b"slow"
    assert (await ask(idempotency, Work())).body == TAKEN.body


async def test_after_a_day_a_key_is_new_again(idempotency: Idempotency, database_dsn: str) -> None:
    work = Work()
    await ask(idempotency, work)
    change(database_dsn, "UPDATE idempotency SET started_at = now() - interval '24 h 1 s'")
    assert await ask(idempotency, work, body=b"another body") == TAKEN
    assert work.times == 2
    assert (await ask(idempotency, work, body=b"another body")).headers == {b"idempotent-replayed": b"true"}


async def test_forgotten_keys_are_deleted_a_few_at_a_time(
    idempotency: Idempotency, database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PRUNE_ROWS", 3)
    for number in range(8):
        await ask(idempotency, Work(), key=f"k-{number}")
    change(database_dsn, "UPDATE idempotency SET started_at = now() - interval '25 h' WHERE key <> 'k-0'")
    assert await idempotency.prune() == 3
    stop = asyncio.Event()
    task = asyncio.create_task(idempotency.run(stop))
    await eventually(lambda: change(database_dsn, "SELECT FROM idempotency") == 1)
    stop.set()
    await task
    assert (await ask(idempotency, Work(), key="k-0")).headers == {b"idempotent-replayed": b"true"}


async def test_with_postgres_away_the_work_is_done_every_time(idempotency: Idempotency) -> None:
    work = Work()
    async with opened("postgresql://nobody@127.0.0.1:1/nothing") as away:
        assert await ask(away, work) == await ask(away, work) == TAKEN
    assert work.times == 2


async def test_postgres_gone_before_the_answer_could_be_kept_does_not_cost_the_answer(
    idempotency: Idempotency, database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work()
    with locked(database_dsn) as lock:

        async def lock_and_work() -> Answer:
            lock()
            return await work()

        monkeypatch.setattr(limits, "REMEMBER_SECONDS_MAX", 0.2)
        assert await ask(idempotency, lock_and_work) == TAKEN
    monkeypatch.undo()
    with pytest.raises(HttpProblem) as refused:
        await ask(idempotency, work)
    assert refused.value.status == 409


@contextmanager
def locked(dsn: str) -> Iterator[Callable[[], object]]:
    """Nobody else gets at the table from the call of what this gives until the block ends."""
    with psycopg.connect(dsn) as connection:
        yield lambda: connection.execute("LOCK TABLE ingest.idempotency")


async def test_a_flood_of_requests_needs_few_connections(idempotency: Idempotency, database_dsn: str) -> None:
    work = Work()
    work.free.clear()
    tasks = [asyncio.create_task(ask(idempotency, work, key=f"k-{number}")) for number in range(100)]
    await eventually(lambda: work.times == 100)
    sessions = "SELECT FROM pg_stat_activity WHERE application_name = 'test' AND datname = current_database()"
    assert change(database_dsn, sessions) <= module.CONNECTIONS
    work.free.set()
    assert {answer.status for answer in await asyncio.gather(*tasks)} == {202}
