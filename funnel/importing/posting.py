"""Delivering items to ingest in batches until each is accepted or refused.

A timeout means "unknown", so the same bytes go out again under the same ids, and ingest's readers take each
id once. Nothing here gives up on a row: all of a batch is settled, or an error says that ingest is away.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from funnel.errors import FunnelError
from funnel.importing.fields import Kind
from funnel.importing.mapping import Mode
from funnel.importing.rows import Item

BATCH_ITEMS = 500
BATCH_BYTES = 512 * 1024
"""Half of what ingest takes in one request, so that its limits can shrink a little without a refusal."""

REQUEST_TIMEOUT = 30.0
FIRST_DELAY = 0.25
LONGEST_DELAY = 10.0
LONGEST_RETRY_AFTER = 60.0
PATIENCE = 120.0
"""Seconds of waiting without one row settled before the import stops; a restart of the stack takes less."""

_ABOUT_THE_KEY = "The import posts with FUNNEL_INGEST_KEY, a secret key of the source."
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_PATHS = {Kind.EVENTS: "/v1/events/batch", Kind.OUTCOMES: "/v1/outcomes"}


Wait = Callable[[float, str], None]
"""Called with the seconds to pause before a new attempt, and why one is needed."""


class IngestAway(FunnelError):
    """Ingest did not settle the batch within PATIENCE; running the import again goes on where it stopped."""


class IngestRefused(FunnelError):
    """Ingest refuses the request as a whole, so no row can be imported like this."""


def _sleep(seconds: float, _: str) -> None:
    time.sleep(seconds)


@dataclass(slots=True)
class Delivery:
    """What ingest said: how many it vouches for, and the refused items with its reason."""

    accepted: int = 0
    refused: list[tuple[Item, str]] = field(default_factory=list)


class Ingest:
    """The batch endpoint of one kind, for one source and mode."""

    def __init__(
        self,
        client: httpx.Client,
        *,
        kind: Kind,
        source: str,
        mode: Mode,
        wait: Wait = _sleep,
    ) -> None:
        """`client` has ingest's base URL. `wait` pauses before a new attempt."""
        self._client = client
        self._path = _PATHS[kind]
        self._opening = b'{"' + kind.value.encode() + b'":['
        self._params = {"source": source, "mode": mode}
        self._wait = wait

    def check_reachable(self) -> None:
        """Raise IngestAway at once when nothing answers there; later on, an ingest that is away is waited for."""
        try:
            self._client.get("/livez", timeout=REQUEST_TIMEOUT)
        except httpx.TransportError as error:
            raise IngestAway(f"ingest at {self._where} does not answer ({error}); is the stack up?") from error

    def deliver(self, items: Sequence[Item]) -> Delivery:
        """Settle every item. Raises IngestAway and IngestRefused."""
        delivery = Delivery()
        todo = list(items)
        size = len(todo)
        pauses = _Pauses()
        while todo:
            batch = todo[:size]
            answer = self._post(batch)
            if isinstance(answer, _TryAgain):
                self._wait(self._pause(pauses, answer), answer.reason)
            elif isinstance(answer, _TooMuch) and len(batch) > 1:
                size = len(batch) // 2
            else:
                left = _settle(batch, answer, delivery)
                if len(left) == len(batch):
                    again = _TryAgain("it asks to send every row again")
                    self._wait(self._pause(pauses, again), again.reason)
                else:
                    pauses = _Pauses()
                todo = left + todo[len(batch) :]
                size = size if isinstance(answer, list) else len(todo)
        return delivery

    def _post(self, batch: Sequence[Item]) -> _Answer:
        body = self._opening + b",".join(item.encoded for item in batch) + b"]}"
        try:
            response = self._client.post(
                self._path,
                params=self._params,
                content=body,
                headers={"content-type": "application/json"},
                timeout=REQUEST_TIMEOUT,
            )
        except httpx.TransportError as error:
            return _TryAgain(str(error) or type(error).__name__)
        return _understood(response, len(batch))

    @property
    def _where(self) -> str:
        return str(self._client.base_url).rstrip("/")

    def _pause(self, pauses: _Pauses, answer: _TryAgain) -> float:
        pause = pauses.next()
        if pause is None:
            raise IngestAway(f"ingest at {self._where} took no row for {PATIENCE:.0f} s: {answer.reason}")
        return max(pause, answer.after)


@dataclass(frozen=True, slots=True)
class _TryAgain:
    """Nothing is known about the batch: the same bytes have to go out again, not before `after` seconds."""

    reason: str
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class _TooMuch:
    """The batch is larger than ingest takes in one request."""

    detail: str


_Results = list[Mapping[str, Any]]
"""Ingest's verdict on each item, in request order."""

_Answer = _TryAgain | _TooMuch | _Results


def _understood(response: httpx.Response, items: int) -> _Answer:
    body = _body(response)
    results = body.get("results")
    if isinstance(results, list) and len(results) == items:
        return results
    detail = str(body.get("detail") or response.reason_phrase)
    status = response.status_code
    if status in _LATER:
        return _TryAgain(f"it answers {status}, {detail}", _retry_after(response))
    if status == 413:
        return _TooMuch(detail)
    hint = f" {_ABOUT_THE_KEY}" if status in (401, 403) else ""
    raise IngestRefused(f"ingest answers {status} to the import: {detail}{hint}")


def _settle(batch: Sequence[Item], answer: _TooMuch | _Results, delivery: Delivery) -> list[Item]:
    """Book what ingest said about each item; returns those it wants to see again."""
    if isinstance(answer, _TooMuch):
        delivery.refused += [(item, answer.detail) for item in batch]
        return []
    left: list[Item] = []
    for item, result in zip(batch, answer, strict=True):
        status = result.get("status")
        if status in ("accepted", "duplicate"):
            delivery.accepted += 1
        elif status == "invalid":
            delivery.refused.append((item, str(result.get("detail") or "ingest calls it invalid")))
        else:
            left.append(item)
    return left


class _Pauses:
    """Growing, slightly random pauses, until their sum passes PATIENCE."""

    def __init__(self) -> None:
        self._delay = FIRST_DELAY
        self._spent = 0.0

    def next(self) -> float | None:
        if self._spent >= PATIENCE:
            return None
        pause = self._delay * random.uniform(0.75, 1.25)  # noqa: S311 - spreads clients, keeps no secret
        self._spent += pause
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        return pause


def _body(response: httpx.Response) -> Mapping[str, Any]:
    try:
        body = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), LONGEST_RETRY_AFTER) if text.isdigit() else 0.0
