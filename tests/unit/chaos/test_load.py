"""The load generator against an ingest that answers as the test says: nothing is given up, nothing goes unrecorded."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaos import load as loads
from chaos.history import History
from chaos.load import Load, Plan
from chaos.traffic import Item, Request, Way

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(loads, "LONGEST_DELAY", 0.002)
    monkeypatch.setattr(loads, "SALES_EVERY_SECONDS", 0.001)


class SalesOnce:
    """One lead was assigned, and its rep reports two things."""

    def __init__(self) -> None:
        self.left = [[item("o-1", kind="outcome"), item("o-2", kind="outcome")]]

    def look(self) -> list[list[Item]]:
        found, self.left = self.left, []
        return found


class BrokenSales:
    def look(self) -> list[list[Item]]:
        raise RuntimeError("cannot read the topic")


def item(event_id: str, kind: str = "event") -> Item:
    return Item(kind, "web", event_id, "a@example.com", "page.viewed", json.dumps({"event_id": event_id}).encode())


def single(event_id: str) -> Request:
    return Request(Way.SINGLE, (item(event_id),))


def accepted(request: httpx.Request) -> httpx.Response:
    return httpx.Response(202, json={"event_id": json.loads(request.content)["event_id"], "status": "accepted"})


def sequence(*answers: Answer) -> Answer:
    """These answers in turn, the last one for ever."""
    turns = iter(itertools.chain(answers, itertools.repeat(answers[-1])))
    return lambda request: next(turns)(request)


def status(code: int, value: Any = None) -> Answer:
    return lambda _: httpx.Response(code, json=value or {})


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer", request=request)


class Bench:
    """A load on an ingest that answers so; `lines` are the history."""

    def __init__(self, folder: Path, answer: Answer, requests: Iterator[Request], plan: Plan, urls: list[str]) -> None:
        self.asked: list[httpx.Request] = []

        def handle(request: httpx.Request) -> httpx.Response:
            self.asked.append(request)
            return answer(request)

        self.history = History(folder / "history")
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
        self.load = Load(plan, requests, urls, self.client, self.history)

    def lines(self) -> list[dict[str, Any]]:
        self.history.close()
        return [json.loads(line) for line in (self.history.folder / "answers.jsonl").read_text().splitlines()]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(answer: Answer, requests: list[Request], events: int = 1, urls: list[str] | None = None) -> Bench:
        plan = Plan(events, rate=10_000, seed=1)
        made.append(Bench(tmp_path, answer, iter(requests), plan, urls or ["http://ingest"]))
        return made[-1]

    yield make
    for one in made:
        await one.load.cancel()
        await one.client.aclose()
        one.history.close()


async def run(one: Bench, seconds: float = 10) -> None:
    over = asyncio.Event()
    over.set()
    await one.load.send(over)
    await one.load.drain(seconds)


async def test_an_event_is_sent_under_its_id_until_it_is_accepted(bench: Callable[..., Bench]) -> None:
    one = bench(sequence(away, status(503), status(429), accepted), [single("a")])
    await run(one)
    lines = one.lines()
    assert {line["event_id"] for line in lines} == {"a"}
    assert [(line["status"], line["result"]) for line in lines] == [
        (None, None), (503, "retry"), (429, "retry"), (202, "accepted"),
    ]  # fmt: skip
    assert lines[0]["answered_at"] is None
    assert lines[-1]["answer_id"] == "a"
    assert len({line["body"] for line in lines}) == 1
    assert one.load.answered == 1
    assert one.load.unanswered == []


async def test_a_refusal_is_not_sent_again(bench: Callable[..., Bench]) -> None:
    one = bench(status(422), [single("a")])
    await run(one)
    assert [line["result"] for line in one.lines()] == ["invalid"]


async def test_of_a_batch_only_what_is_not_settled_is_sent_again(bench: Callable[..., Bench]) -> None:
    def first(request: httpx.Request) -> httpx.Response:
        words = [("a", "accepted"), ("b", "retry"), ("c", "duplicate")]
        return httpx.Response(
            202, json={"results": [{"index": i, "event_id": e, "status": s} for i, (e, s) in enumerate(words)]}
        )

    def second(request: httpx.Request) -> httpx.Response:
        return httpx.Response(202, json={"results": [{"index": 0, "event_id": "b", "status": "accepted"}]})

    one = bench(sequence(first, second), [Request(Way.BATCH, (item("a"), item("b"), item("c")))], events=3)
    await run(one)
    assert json.loads(one.asked[1].content) == {"events": [{"event_id": "b"}]}
    assert [line["event_id"] for line in one.lines()] == ["a", "b", "c", "b"]
    assert one.load.answered == 3


async def test_a_retry_goes_to_the_next_ingest(bench: Callable[..., Bench]) -> None:
    one = bench(sequence(away, accepted), [single("a")], urls=["http://one", "http://two"])
    await run(one)
    assert [request.url.host for request in one.asked] == ["one", "two"]


async def test_what_never_gets_an_answer_is_given_up_and_named(bench: Callable[..., Bench]) -> None:
    one = bench(status(503), [single("a")])
    await run(one, seconds=0.05)
    assert [left.event_id for left in one.load.unanswered] == ["a"]
    assert one.load.answered == 0


async def test_load_leaves_when_it_is_due_though_nothing_is_answered(bench: Callable[..., Bench]) -> None:
    stuck = asyncio.Event()

    async def never(request: httpx.Request) -> httpx.Response:
        await stuck.wait()
        return accepted(request)

    one = bench(accepted, [single(str(number)) for number in range(20)], events=20)
    one.load._client = httpx.AsyncClient(transport=httpx.MockTransport(never))
    over = asyncio.Event()
    over.set()
    await one.load.send(over)
    assert (one.load.sent, one.load.answered) == (20, 0)
    stuck.set()
    await one.load.drain(10)
    assert one.load.answered == 20
    await one.load._client.aclose()


async def test_load_goes_on_until_the_fault_is_over(bench: Callable[..., Bench]) -> None:
    one = bench(accepted, [single(str(number)) for number in range(500)], events=2)
    over = asyncio.Event()
    loading = asyncio.create_task(one.load.send(over))
    going_on = asyncio.create_task(one.load.reached(5))
    await asyncio.wait((loading, going_on), return_when=asyncio.FIRST_COMPLETED)
    going_on.cancel()
    assert not loading.done()
    over.set()
    await loading
    await one.load.drain(10)
    assert 10 <= one.load.sent < 500


async def test_reports_about_a_lead_follow_each_other(bench: Callable[..., Bench]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v1/outcomes":
            return accepted(request)
        body = json.loads(request.content)
        return httpx.Response(202, json={"results": [{"index": 0, "event_id": body["event_id"], "status": "accepted"}]})

    failing_first = sequence(away, answer)
    sales = SalesOnce()

    def only_reports_fail(request: httpx.Request) -> httpx.Response:
        return failing_first(request) if b'"o-1"' in request.content else answer(request)

    one = bench(only_reports_fail, [])
    selling = asyncio.create_task(one.load.sell(sales))
    while not any(b'"o-2"' in request.content for request in one.asked):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    selling.cancel()
    await one.load.drain(10)
    reports = [line for line in one.lines() if line["kind"] == "outcome"]
    assert [(line["event_id"], line["result"]) for line in reports] == [
        ("o-1", None), ("o-1", "accepted"), ("o-2", "accepted"),
    ]  # fmt: skip


async def test_a_broken_sales_tool_ends_loudly(bench: Callable[..., Bench]) -> None:
    with pytest.raises(RuntimeError, match="cannot read the topic"):
        await bench(accepted, []).load.sell(BrokenSales())


async def test_a_broken_request_is_not_swallowed(bench: Callable[..., Bench]) -> None:
    one = bench(lambda _: 1 / 0, [single("a")])
    with pytest.raises(ZeroDivisionError):
        await run(one)
