"""What goes on while processes die: posts of every kind, without pause, and what their senders were told."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from confluent_kafka import Producer

from chaos.errors import RowFailed
from chaos.history import History

WEBSITE: Final = "website"
CRM: Final = "crm"
LARGE: Final = {"company": "Kitano Denki", "employees": 500, "country": "JP", "title": "Director"}
SMALL: Final = {**LARGE, "employees": 20}

_PAUSE_SECONDS: Final = 0.05
_AGAIN_SECONDS: Final = 0.1
_ANSWER_SECONDS: Final = 15.0
_GIVE_UP_SECONDS: Final = 120.0
_TRY_AGAIN: Final = frozenset({408, 409, 425, 429})


class Load:
    """Sends in rounds, each with one of everything that makes some point be reached.

    `spooled` counts answers that say the record is in the spool.
    """

    def __init__(self, ingest: str, bootstrap: str, history: History) -> None:
        """`ingest` is its URL; every answer goes to `history`."""
        self._client = httpx.AsyncClient(base_url=ingest, timeout=_ANSWER_SECONDS)
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, "log_level": 0})
        self._history = history
        self._round = 0
        self.poisoned = 0
        self.spooled = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send while the block runs, and until what is under way has its answer."""
        stop = asyncio.Event()
        senders = [asyncio.create_task(self._send_rounds(stop)) for _ in range(2)]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*senders)
            await asyncio.to_thread(self._producer.flush, _ANSWER_SECONDS)

    async def close(self) -> None:
        """Nothing is sent any more."""
        await self._client.aclose()

    async def event(self, event_id: str, **fields: Any) -> None:
        """Post one event until it is taken."""
        body = {"event_id": event_id, **fields}
        await self._post("event", "/v1/events", WEBSITE, body)

    def poison(self) -> None:
        """Put records on the topics that nobody can apply, as a foreign producer may."""
        self.poisoned += 1
        never = "9999-12-31T23:59:59Z"  # no day in the organisation's time zone: metrics cannot count it
        nobody = {
            "event_id": f"poison-{self.poisoned}",
            "type": "page.viewed",
            "occurred_at": never,
            "received_at": never,
            "source": "elsewhere",
            "identity": {},  # about nobody: scoring cannot apply it
        }
        identity = {"ce_source": b"elsewhere", "ce_id": f"poison-{self.poisoned}".encode()}
        content = json.dumps(nobody).encode()
        self._producer.produce("lead-events", content, headers={**identity, "ce_dataschema": b"lead_event.v1"})
        self._producer.produce("lead-outcomes", b'{"type": "lost"}', headers={**identity})
        self._producer.poll(0)

    async def _send_rounds(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._round += 1
            await self._send_round(f"{self._round:05d}")

    async def _send_round(self, number: str) -> None:
        if int(number) % 2:
            self.poison()
        large, small = f"large-{number}@example.com", f"small-{number}@example.com"
        page = {"type": "page.viewed", "identity": {"visitor_id": f"visitor-{number}"}}
        demo = {"type": "demo.requested", "identity": {"email": large}, "person": {"name": "Ito Ren", **LARGE}}
        told = {"event_id": f"told-{number}", "type": "contacted", "identity": {"email": large}}
        await self.event(f"page-{number}", **page)
        for _ in range(2):
            await self.event(f"demo-{number}", **demo)
        await self.event(
            f"small-{number}", type="demo.requested", identity={"email": small}, person={"name": "Mori Yumi", **SMALL}
        )
        keyed = {"event_id": f"keyed-{number}", **page}
        for _ in range(2):
            await self._post("event", "/v1/events", WEBSITE, keyed, {"Idempotency-Key": f"key-{number}"})
        await self._post_form(number)
        for _ in range(2):
            await self._post("outcome", "/v1/outcomes", CRM, told)
        await asyncio.sleep(_PAUSE_SECONDS)

    async def _post(
        self, kind: str, path: str, source: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> None:
        content = json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        line = _line(kind, source, body, content)
        await self._until_answered(line, path, content, sent)

    async def _post_form(self, number: str) -> None:
        """One that looks like spam: a field is filled in that people do not see."""
        person = f"suspect-{number}@example.com"
        fields = {"_event_id": f"form-{number}", "email": person, "website_confirm_url": "https://spam.example.com"}
        content = urlencode(fields).encode()
        sent = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        told = {"event_id": f"form-{number}", "type": "form.submitted", "identity": {"email": person}}
        await self._until_answered(_line("event", WEBSITE, told, content), "/v1/forms/contact", content, sent)

    async def _until_answered(
        self, line: dict[str, Any], path: str, content: bytes, headers: Mapping[str, str]
    ) -> None:
        give_up = time.monotonic() + _GIVE_UP_SECONDS
        while not await self._attempt(line, path, content, headers):
            if time.monotonic() > give_up:
                raise RowFailed(f"Ingest has not taken {line['source']}/{line['event_id']} in {_GIVE_UP_SECONDS:g} s.")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _attempt(self, line: dict[str, Any], path: str, content: bytes, headers: Mapping[str, str]) -> bool:
        """Whether the item is taken. Raises RowFailed when it is refused."""
        line = {**line, "sent_at": time.time(), "answered_at": None, "status": None, "result": None, "answer_id": None}
        try:
            answer = await self._client.post(path, params={"source": line["source"]}, content=content, headers=headers)
        except httpx.TransportError:
            self._history.answer(line)
            return False
        taken = answer.status_code == 202
        if not taken and 400 <= answer.status_code < 500 and answer.status_code not in _TRY_AGAIN:
            raise RowFailed(f"Ingest refuses {line['source']}/{line['event_id']}: {answer.status_code} {answer.text}")
        told = answer.json() if taken else {}
        line |= {"answered_at": time.time(), "status": answer.status_code, "result": "accepted" if taken else "retry"}
        self._history.answer(line | {"answer_id": told.get("event_id")})
        if taken:
            self.spooled += bool(told.get("spooled"))
        return taken


def _line(kind: str, source: str, body: Mapping[str, Any], content: bytes) -> dict[str, Any]:
    """What is the same for every attempt to send one item."""
    identity = body["identity"]
    return {
        "kind": kind,
        "source": source,
        "event_id": body["event_id"],
        "person": identity.get("email") or identity["visitor_id"],
        "type": body["type"],
        "body": hashlib.sha256(content).hexdigest(),
    }
