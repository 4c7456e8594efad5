"""The endpoints of `design.md` section 7: events, batches of events, outcomes.

They are plain ASGI callables put before FastAPI's router, since they carry the load; the OpenAPI document has them all.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from starlette.types import Receive, Scope, Send

from funnel import telemetry
from funnel.http import Api, FieldError, HttpProblem, problem_body
from services.ingest import openapi
from services.ingest.domain import limits
from services.ingest.domain.acceptance import Why
from services.ingest.domain.batch import Result, Status, overall
from services.ingest.domain.decoding import NotJson, TooManyItems, batch_items, lines
from services.ingest.domain.fields import Fault, Unfit
from services.ingest.domain.kinds import EVENT, OUTCOME, Kind
from services.ingest.handlers import Intake
from services.ingest.wire import Answer, Ask, ClientGone, answer_problem, read_ask, send_answer, too_large

_RETRY_LATER: Final = {b"retry-after": b"%d" % limits.RETRY_AFTER_SECONDS}

Respond = Callable[[Ask], Awaitable[Answer]]


def add_endpoints(app: Api, intake: Intake) -> None:
    """Give `app` the three endpoints, which hand everything to `intake`."""

    async def one_event(ask: Ask) -> Answer:
        return await _take_one(intake, EVENT, ask)

    async def events(ask: Ask) -> Answer:
        return await _take_many(intake, EVENT, ask, _event_items(ask))

    async def outcomes(ask: Ask) -> Answer:
        items = _items_of(ask, OUTCOME)
        if items is None:
            return await _take_one(intake, OUTCOME, ask)
        return await _take_many(intake, OUTCOME, ask, items)

    schemas, operations = openapi.schemas(), openapi.operations()
    for path, body_max, respond in (
        ("/v1/events", limits.EVENT_BYTES_MAX, one_event),
        ("/v1/events/batch", limits.BODY_BYTES_MAX, events),
        ("/v1/outcomes", limits.BODY_BYTES_MAX, outcomes),
    ):
        app.add_hot_path(path, _Endpoint(path, body_max, respond), operations[path], schemas)


class _Endpoint:
    """The ASGI callable around `respond`: reads, answers, turns raised problems into answers, counts."""

    def __init__(self, path: str, body_max: int, respond: Respond) -> None:
        self._path = path
        self._body_max = body_max
        self._respond = respond
        self._seconds = telemetry.INGEST_REQUEST_SECONDS.labels(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        try:
            answer = await self._respond(await read_ask(scope, receive, self._body_max))
        except HttpProblem as problem:
            answer = answer_problem(problem)
        except ClientGone:
            return
        telemetry.INGEST_REQUESTS.labels(self._path, answer.status).inc()
        self._seconds.observe(time.perf_counter() - started)
        await send_answer(send, answer)


async def _take_one(intake: Intake, kind: Kind, ask: Ask) -> Answer:
    if len(ask.body) > limits.EVENT_BYTES_MAX:
        raise too_large(limits.EVENT_BYTES_MAX)
    (result,) = await intake.take(kind, [ask.body], source=ask.source, mode=ask.mode, traceparent=ask.traceparent)
    if result.status is Status.ACCEPTED:
        return Answer(202, msgspec.json.encode({"event_id": result.event_id, "status": "accepted"}))
    if result.status is Status.RETRY:
        return _not_stored({"event_id": result.event_id})
    return _refused(kind, result)


async def _take_many(intake: Intake, kind: Kind, ask: Ask, items: Sequence[bytes | Unfit]) -> Answer:
    if not items:
        raise _bad_batch([Fault(f"/{kind.plural}", "must hold at least one")])
    found = await intake.take(kind, items, source=ask.source, mode=ask.mode, traceparent=ask.traceparent)
    members = {"results": [_result(index, result) for index, result in enumerate(found)]}
    match overall(found):
        case Status.ACCEPTED:
            return Answer(202, msgspec.json.encode(members))
        case Status.RETRY:
            return _not_stored(members)
        case _:
            detail = f"None of the {kind.plural} is acceptable; see results."
            body = problem_body(422, f"invalid-{kind.name}", f"Invalid {kind.plural}", detail, members=members)
            return Answer(422, body)


def _event_items(ask: Ask) -> Sequence[bytes | Unfit]:
    items = _items_of(ask, EVENT)
    if items is None:
        raise _bad_batch([Fault("/events", "is required")])
    return items


def _items_of(ask: Ask, kind: Kind) -> Sequence[bytes | Unfit] | None:
    """The items of a batch, or None when the body is one item. Raises HttpProblem."""
    try:
        return lines(ask.body) if ask.is_ndjson else batch_items(ask.body, kind.plural)
    except NotJson as found:
        raise HttpProblem(400, "bad-json", "Not JSON", f"The body {found}.") from None
    except Unfit as found:
        raise _bad_batch(found.faults) from None
    except TooManyItems:
        detail = f"One request may hold {limits.BATCH_ITEMS_MAX} {kind.plural}; send more in several."
        raise HttpProblem(413, "too-large", "Too large", detail) from None


def _bad_batch(faults: Sequence[Fault]) -> HttpProblem:
    return HttpProblem(
        422, "invalid-batch", "Invalid batch", f"{_sentence('the body', faults)}.", errors=_errors(faults)
    )


def _refused(kind: Kind, result: Result) -> Answer:
    """The problem of one item that can never be accepted as it is."""
    sentence = f"{_sentence(f'the {kind.name}', result.faults)}."
    match result.why:
        case Why.NOT_JSON:
            return Answer(400, problem_body(400, "bad-json", "Not JSON", sentence))
        case Why.TOO_LARGE:
            return Answer(413, problem_body(413, "too-large", "Too large", sentence))
        case _:
            title, errors = f"Invalid {kind.name}", _errors(result.faults)
            return Answer(422, problem_body(422, f"invalid-{kind.name}", title, sentence, errors=errors))


def _not_stored(members: dict[str, Any]) -> Answer:
    detail = (
        "Kafka did not acknowledge in time, so it is not known what is stored. Send it again with the same event_id: "
        "a repeat has no second effect."
    )
    return Answer(503, problem_body(503, "not-stored", "Not stored", detail, members=members), _RETRY_LATER)


def _result(index: int, result: Result) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "index": index,
        "event_id": result.event_id,
        "status": result.status,
        "detail": result.detail,
    }
    if result.faults:
        answer["errors"] = _errors(result.faults)
    return answer


def _errors(faults: Sequence[Fault]) -> list[FieldError]:
    return [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]


def _sentence(whole: str, faults: Sequence[Fault]) -> str:
    """All faults in one sentence, each with its field, or with `whole` when it is about no single field."""
    sentence = "; ".join(f"{fault.pointer or whole} {fault.detail}" for fault in faults)
    return sentence[0].upper() + sentence[1:]
