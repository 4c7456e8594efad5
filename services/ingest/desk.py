"""Between a request and the intake: the items in a body, and the results in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from funnel.http import FieldError, HttpProblem, problem_body
from services.ingest.domain import limits
from services.ingest.domain.acceptance import Why
from services.ingest.domain.access import Caller
from services.ingest.domain.batch import Result, Status, overall
from services.ingest.domain.decoding import Batch, NotJson, TooManyItems, lines, read_batch
from services.ingest.domain.fields import Fault, Unfit
from services.ingest.domain.kinds import Kind
from services.ingest.gate import Gate
from services.ingest.handlers import Intake, ids_of
from services.ingest.wire import Answer, Ask, too_large

_RETRY_LATER: Final = {b"retry-after": b"%d" % limits.RETRY_AFTER_SECONDS}
_SAME_ID: Final = "Send it again with the same event_id: a repeat has no second effect."


class Desk:
    """Hands items to the intake and puts the results into words."""

    def __init__(self, intake: Intake, gate: Gate) -> None:
        self._intake = intake
        self._gate = gate

    async def take_one(self, kind: Kind, ask: Ask, caller: Caller) -> Answer:
        """The answer to a request whose body is one item. Raises HttpProblem."""
        if len(ask.body) > limits.EVENT_BYTES_MAX:
            raise too_large(limits.EVENT_BYTES_MAX)
        (result,) = await self._take(kind, ask, caller, Batch([ask.body], None))
        if result.status is Status.ACCEPTED:
            return Answer(202, taken(result))
        if result.status is Status.RETRY:
            return not_stored({"event_id": result.event_id})
        return _refused(kind, result)

    async def take_many(self, kind: Kind, ask: Ask, caller: Caller, batch: Batch) -> Answer:
        """The answer to a batch. Raises HttpProblem."""
        if not batch.items:
            raise _bad_batch([Fault(f"/{kind.plural}", "must hold at least one")])
        found = await self._take(kind, ask, caller, batch)
        told = list(map(_told, range(len(found)), found))
        match overall(found):
            case Status.ACCEPTED:
                settled = all(result.status is not Status.RETRY for result in found)
                return Answer(202, msgspec.json.encode({"results": told}), settled=settled)
            case Status.RETRY:
                return not_stored({"results": told})
            case _:
                detail = f"None of the {kind.plural} is acceptable; see results."
                members = {"results": told}
                body = problem_body(422, f"invalid-{kind.name}", f"Invalid {kind.plural}", detail, members=members)
                return Answer(422, body)

    async def _take(self, kind: Kind, ask: Ask, caller: Caller, batch: Batch) -> list[Result]:
        self._gate.spend(caller, len(batch.items))
        return await self._intake.take(
            kind,
            batch.items,
            caller,
            id_of=ids_of(caller.source.name, ask.path, ask.idempotency_key),
            sent_at=batch.sent_at,
            traceparent=ask.traceparent,
        )


class _Told(msgspec.Struct, gc=False):
    """What a batch is told of one of its items."""

    index: int
    event_id: str | None
    status: Status
    detail: str | None
    errors: list[FieldError] | msgspec.UnsetType = msgspec.UNSET
    spooled: bool | msgspec.UnsetType = msgspec.UNSET


def _told(index: int, result: Result) -> _Told:
    return _Told(
        index,
        result.event_id,
        result.status,
        result.detail,
        errors_of(result.faults) if result.faults else msgspec.UNSET,
        result.spooled or msgspec.UNSET,
    )


def taken(result: Result) -> bytes:
    """The answer for one item that is stored."""
    answer: dict[str, Any] = {"event_id": result.event_id, "status": result.status}
    return msgspec.json.encode(answer | {"spooled": True} if result.spooled else answer)


def batch_of(ask: Ask, kind: Kind) -> Batch:
    """What is in a body that has to be a batch. Raises HttpProblem."""
    batch = batch_if_many(ask, kind)
    if batch is None:
        raise _bad_batch([Fault(f"/{kind.plural}", "is required")])
    return batch


def batch_if_many(ask: Ask, kind: Kind) -> Batch | None:
    """What is in the body of a batch, or None when the body is one item. Raises HttpProblem."""
    try:
        return Batch(lines(ask.body), None) if ask.is_ndjson else read_batch(ask.body, kind.plural)
    except NotJson as found:
        raise HttpProblem(400, "bad-json", "Not JSON", f"The body {found}.") from None
    except Unfit as found:
        raise _bad_batch(found.faults) from None
    except TooManyItems:
        detail = f"One request may hold {limits.BATCH_ITEMS_MAX} {kind.plural}; send more in several."
        raise HttpProblem(413, "too-large", "Too large", detail) from None


def _bad_batch(faults: Sequence[Fault]) -> HttpProblem:
    return HttpProblem(
        422, "invalid-batch", "Invalid batch", f"{_sentence('the body', faults)}.", errors=errors_of(faults)
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
            title, errors = f"Invalid {kind.name}", errors_of(result.faults)
            return Answer(422, problem_body(422, f"invalid-{kind.name}", title, sentence, errors=errors))


def not_stored(members: dict[str, Any], how: str = _SAME_ID) -> Answer:
    """The answer when sending it again may help; `how` to do that."""
    detail = f"Neither Kafka nor Postgres took it in time, so it is not known what is stored. {how}"
    return Answer(503, problem_body(503, "not-stored", "Not stored", detail, members=members), _RETRY_LATER)


def errors_of(faults: Sequence[Fault]) -> list[FieldError]:
    """The faults as `errors` of a problem."""
    return [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]


def _sentence(whole: str, faults: Sequence[Fault]) -> str:
    """All faults in one sentence, each with its field, or with `whole` when it is about no single field."""
    sentence = "; ".join(f"{fault.pointer or whole} {fault.detail}" for fault in faults)
    return sentence[0].upper() + sentence[1:]
