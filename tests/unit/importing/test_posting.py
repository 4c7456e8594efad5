"""Posting: each row is settled by ingest's own word, whatever has to be sent again on the way."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from funnel.importing.fields import Kind
from funnel.importing.posting import PATIENCE, Ingest, IngestAway, IngestRefused
from funnel.importing.rows import Item
from funnel.importing.sheet import Row

Answer = Callable[[httpx.Request], httpx.Response]


def item(number: int) -> Item:
    body = {"event_id": str(number)}
    return Item(Row(number + 1, ()), str(number), body, json.dumps(body).encode())


def ids(request: httpx.Request) -> list[str]:
    return [event["event_id"] for event in json.loads(request.content)["events"]]


def verdicts(request: httpx.Request, **status: str) -> httpx.Response:
    """A 202 that accepts every event but those named like `_3="retry"`."""
    results = [
        {"index": i, "event_id": each, "status": status.get(f"_{each}", "accepted"), "detail": "/type: bad"}
        for i, each in enumerate(ids(request))
    ]
    return httpx.Response(202, json={"results": results})


class Server:
    """Answers each request with the next of the given answers, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(request)

    def ingest(self, kind: Kind = Kind.EVENTS) -> Ingest:
        client = httpx.Client(base_url="http://ingest", transport=httpx.MockTransport(self))
        return Ingest(client, kind=kind, source="fair", mode="history", wait=lambda s, _: self.waits.append(s))


def refuse(status: int, **headers: str) -> Answer:
    body = {"type": "urn:x", "status": status, "detail": "Not now."}
    return lambda _: httpx.Response(status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def verdicts_of_nothing(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


def time_out(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer", request=request)


def test_a_batch_goes_to_its_endpoint_with_source_and_mode() -> None:
    server = Server(verdicts)
    assert server.ingest().deliver([item(1), item(2)]).accepted == 2
    (request,) = server.requests
    assert request.url == "http://ingest/v1/events/batch?source=fair&mode=history"
    assert ids(request) == ["1", "2"]


def test_outcomes_go_under_their_own_name() -> None:
    server = Server(lambda request: httpx.Response(202, json={"results": [{"status": "accepted"}]}))
    server.ingest(Kind.OUTCOMES).deliver([item(1)])
    (request,) = server.requests
    assert request.url.path == "/v1/outcomes"
    assert json.loads(request.content) == {"outcomes": [{"event_id": "1"}]}


def test_a_duplicate_is_as_good_as_accepted() -> None:
    assert Server(lambda r: verdicts(r, _1="duplicate")).ingest().deliver([item(1), item(2)]).accepted == 2


def test_an_invalid_row_is_refused_and_spoils_no_other() -> None:
    delivery = Server(lambda r: verdicts(r, _2="invalid")).ingest().deliver([item(1), item(2), item(3)])
    assert delivery.accepted == 2
    assert [(refused.event_id, detail) for refused, detail in delivery.refused] == [("2", "/type: bad")]


def test_only_what_has_to_be_tried_again_is_sent_again_with_the_same_bytes() -> None:
    server = Server(lambda r: verdicts(r, _2="retry"), verdicts)
    assert server.ingest().deliver([item(1), item(2), item(3)]).accepted == 3
    assert [ids(request) for request in server.requests] == [["1", "2", "3"], ["2"]]


@pytest.mark.parametrize("trouble", [time_out, refuse(503), refuse(429), refuse(500)])
def test_trouble_means_the_same_batch_again_after_a_growing_pause(trouble: Answer) -> None:
    server = Server(trouble, trouble, trouble, verdicts)
    assert server.ingest().deliver([item(1), item(2)]).accepted == 2
    assert {request.content for request in server.requests} == {server.requests[0].content}
    assert server.waits[0] < server.waits[1] < server.waits[2]


def test_a_503_whose_results_all_say_retry_is_tried_again() -> None:
    def all_retry(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, json=json.loads(verdicts(request, _1="retry").content))

    server = Server(all_retry, verdicts)
    assert server.ingest().deliver([item(1)]).accepted == 1
    assert len(server.waits) == 1


def test_the_pause_is_at_least_what_ingest_asks_for() -> None:
    server = Server(refuse(503, retry_after="7"), verdicts)
    server.ingest().deliver([item(1)])
    assert server.waits == [7.0]


def test_ingest_that_stays_away_ends_the_import_with_one_sentence() -> None:
    server = Server(time_out)
    with pytest.raises(IngestAway, match="ingest at http://ingest took no row for 120 s: no answer"):
        server.ingest().deliver([item(1)])
    assert PATIENCE <= sum(server.waits) < PATIENCE + 15


def test_ingest_that_does_not_answer_at_all_is_told_at_once() -> None:
    Server(verdicts_of_nothing).ingest().check_reachable()
    with pytest.raises(IngestAway, match=r"does not answer .* is the stack up"):
        Server(time_out).ingest().check_reachable()


def test_a_batch_that_is_too_large_is_halved_until_it_fits() -> None:
    def at_most_two(request: httpx.Request) -> httpx.Response:
        return verdicts(request) if len(ids(request)) <= 2 else refuse(413)(request)

    server = Server(at_most_two)
    assert server.ingest().deliver([item(n) for n in range(7)]).accepted == 7
    assert max(len(ids(request)) for request in server.requests[2:]) <= 3


def test_one_row_that_is_too_large_alone_is_refused_with_ingests_reason() -> None:
    def no_threes(request: httpx.Request) -> httpx.Response:
        return refuse(413)(request) if "3" in ids(request) else verdicts(request)

    delivery = Server(no_threes).ingest().deliver([item(n) for n in range(5)])
    assert delivery.accepted == 4
    assert [(refused.event_id, detail) for refused, detail in delivery.refused] == [("3", "Not now.")]


def test_a_422_with_a_word_on_each_row_is_taken_at_its_word() -> None:
    def all_invalid(request: httpx.Request) -> httpx.Response:
        return httpx.Response(422, json=json.loads(verdicts(request, _1="invalid", _2="invalid").content))

    delivery = Server(all_invalid).ingest().deliver([item(1), item(2)])
    assert delivery.accepted == 0
    assert len(delivery.refused) == 2


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_refusal_of_the_request_itself_stops_the_import(status: int) -> None:
    with pytest.raises(IngestRefused, match=f"ingest answers {status} to the import: Not now"):
        Server(refuse(status)).ingest().deliver([item(1)])
