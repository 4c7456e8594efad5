"""What an answer of ingest says of each item of a request: final, or to be sent again under the same id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

_TRY_AGAIN: Final = frozenset({408, 409, 425, 429})
FINAL: Final = frozenset({"accepted", "duplicate", "invalid"})


class Told(NamedTuple):
    """The word on one item: accepted, duplicate, invalid or retry; None when nobody knows."""

    result: str | None
    answer_id: str | None = None


UNKNOWN: Final = Told(None)


def told(count: int, status: int, content: bytes) -> list[Told]:
    """The word on each of the `count` items of a request that was answered.

    An answer that makes no sense is no answer: nobody knows.
    """
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(results := body.get("results"), list):
        return _of_results(count, results)
    if status == HTTPStatus.ACCEPTED:
        return [_one(body)] if count == 1 else [UNKNOWN] * count
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _TRY_AGAIN:
        return [Told("invalid")] * count
    return [Told("retry")] * count


def _of_results(count: int, results: Sequence[Any]) -> list[Told]:
    by_index = {one.get("index"): one for one in results if isinstance(one, dict)}
    return [_one(by_index.get(index)) for index in range(count)]


def _one(body: Any) -> Told:
    if not isinstance(body, dict) or body.get("status") not in (*FINAL, "retry"):
        return UNKNOWN
    return Told(body["status"], body.get("event_id"))
