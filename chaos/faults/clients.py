"""What clients see and do: an ingest that dies before it answers, repeats, other bodies under one id, poison."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import httpx

from chaos.errors import RowFailed
from chaos.faults import row
from chaos.faults.brokers import EVENTS
from chaos.faults.seen import count, read_all
from chaos.run import Run
from chaos.traffic import Item, Request, Way
from funnel import failpoints
from funnel.embedded.probes import service_problems

_HIT_SECONDS: Final = 60.0
_UP_SECONDS: Final = 60.0
_APPLIED_SECONDS: Final = 60.0
_DEADLY: Final = (
    "ingest.publish.before",
    "producer.send.before",
    "producer.send.after",
    "ingest.publish.after",
    "ingest.answer.before",
)
"""Up to the third nothing of a request is acknowledged; from there on its records are stored and nobody was told."""

_REPLAYS: Final = "replays"
_CONFLICT: Final = 409
_ACCEPTED: Final = 202
_ANOTHER_BODY: Final = 422


@row(1, "kill -9 of ingest before the ack of the broker, and between ack and 202", needs=("failpoints",))
async def ingest_killed(run: Run) -> None:
    """Ingest dies with requests judged and not sent, sent and not acknowledged, acknowledged and not answered.

    Clients get no answer and send again under the same ids: nothing is lost, and a repeat adds no lead.
    """
    await run.load.reached(0.1)
    url = run.settings.url_of("ingest")
    for point in _DEADLY * int(run.pick(full=4, quick=2, smoke=1)):
        async with run.fault(f"kill ingest at {point}"):
            failpoints.arm(run.failpoints, point, f"kill {run.chance.randint(1, 30)} service=ingest")
            hit = partial(failpoints.hit_by, run.failpoints, point)
            await run.until(hit, _HIT_SECONDS, f"ingest gets to {point}")
            await run.until(lambda: not service_problems(url), _UP_SECONDS, "ingest is started again")
        await run.progress()


@row(25, "client replays: one event a thousand times at once", part="a")
async def one_event_many_times(run: Run) -> None:
    """The same event, 1000 times at once, alone and in batches: each is answered 202, and it is one touch of one
    lead with one rep."""
    await run.load.reached(0.2)
    times = int(run.pick(full=1000, quick=1000, smoke=300))
    item = _event("replayed", "replayed@example.com", employees=50)
    async with run.fault(f"one event {times} times at once"):
        singles = [Request(Way.SINGLE, (item,)) for _ in range(times // 2)]
        batches = [Request(Way.BATCH, (item,) * 10) for _ in range(times // 20)]
        await asyncio.gather(*(run.load.deliver(request) for request in singles + batches))
        touches = partial(
            count, run, "SELECT count(*) FROM scoring.touch WHERE source = %s AND event_id = %s", _REPLAYS, "replayed"
        )
        await run.until(touches, _APPLIED_SECONDS, "the event is applied")
    await run.progress()
    if (found := await run.off(touches)) != 1:
        raise RowFailed(f"one event is {found} touches")


@row(25, "client replays: one id with two bodies", part="b")
async def one_id_two_bodies(run: Run) -> None:
    """Two bodies under one id, many pairs at once: of each pair one is applied, the other one is put into quarantine
    as `event_id_reused` by scoring and by metrics."""
    await run.load.reached(0.2)
    pairs = int(run.pick(full=200, quick=100, smoke=30))
    async with run.fault(f"{pairs} ids with two bodies"):
        bodies = [_event(f"twice-{n}", f"twice-{n}@example.com", employees=e) for n in range(pairs) for e in (50, 60)]
        await asyncio.gather(*(run.load.deliver(Request(Way.SINGLE, (item,))) for item in bodies))
        for service in ("scoring", "metrics"):
            reused = partial(_reused, run, service)
            await run.until(lambda: reused() >= pairs, _APPLIED_SECONDS, f"{service} puts {pairs} bodies aside")  # noqa: B023
            if (found := await run.off(reused)) != pairs:
                raise RowFailed(f"{service} put {found} bodies aside where {pairs} ids had two")
    await run.progress()


def _reused(run: Run, service: str) -> int:
    """Second bodies in quarantine; counted once, though each may lie there as often as it was sent."""
    if service == "scoring":
        return count(run, "SELECT count(DISTINCT event_id) FROM scoring.quarantine WHERE source = %s AND reason LIKE "
                          "'event_id_reused%%'", _REPLAYS)  # fmt: skip
    return count(run, "SELECT count(DISTINCT event_id) FROM metrics.quarantine WHERE source = %s AND reason LIKE "
                      "'event_id_reused%%'", _REPLAYS)  # fmt: skip


@row(25, "client replays: one Idempotency-Key, many times and with another body", part="c")
async def one_key(run: Run) -> None:
    """One request many times at once under one Idempotency-Key: 202, or 409 while it is worked on, and one record in
    the end. Another body under that key is refused with 422 and not stored."""
    await run.load.reached(0.2)
    times = int(run.pick(full=1000, quick=500, smoke=150))
    first, other = _event("keyed", "keyed@example.com"), _event("keyed-other", "other@example.com")
    async with run.fault(f"one Idempotency-Key {times} times at once"):
        statuses = Counter(await asyncio.gather(*(_keyed(run, first) for _ in range(times))))
        if not statuses[_ACCEPTED] or statuses.keys() - {_ACCEPTED, _CONFLICT}:
            raise RowFailed(f"one key {times} times is answered {dict(statuses)}")
        refused = Counter(await asyncio.gather(*(_keyed(run, other) for _ in range(20))))
        if refused.keys() != {_ANOTHER_BODY}:
            raise RowFailed(f"another body under a key is answered {dict(refused)}")
    run.history.measured["answers under one key"] = [statuses[_ACCEPTED], statuses[_CONFLICT]]
    await run.progress()
    records = await run.off(read_all, run, EVENTS)
    ids = Counter(dict(one.headers).get("ce_id") for held in records.values() for one in held)
    if (ids[b"keyed"], ids[b"keyed-other"]) != (1, 0):
        raise RowFailed(f"of one key there are {ids[b'keyed']} records, and {ids[b'keyed-other']} of what was refused")


async def _keyed(run: Run, item: Item) -> int:
    answer = await run.client.post(
        run.settings.url_of("ingest") + "/v1/events",
        params={"source": item.source},
        content=item.content,
        headers={"content-type": "application/json", "idempotency-key": "one-key"},
    )
    told = answer.json() if answer.status_code == _ACCEPTED else {}
    result = {_ACCEPTED: "accepted", _CONFLICT: "retry"}.get(answer.status_code, "invalid")
    line = {"kind": item.kind, "source": item.source, "event_id": item.event_id, "person": item.person,
            "type": item.type, "body": item.digest, "sent_at": 0.0, "answered_at": 0.0,
            "status": answer.status_code, "result": result, "answer_id": told.get("event_id")}  # fmt: skip
    run.history.answer(line)
    return answer.status_code


def _event(id_: str, person: str, employees: int = 50) -> Item:
    body: dict[str, Any] = {
        "event_id": id_,
        "type": "demo.requested",
        "identity": {"email": person},
        "person": {"name": "Ito Ren", "company": "Kitano Denki", "title": "Director", "country": "JP"},
    }
    body["person"]["employees"] = employees
    return Item("event", _REPLAYS, id_, person, "demo.requested", json.dumps(body).encode())


# -- poison ----------------------------------------------------------------------------------------------------------

_POISON: Final = "poison"
_MEGABYTE: Final = 1024 * 1024
_HARMLESS: Final = frozenset({202, 400, 413, 415, 422})


def poisoned_bodies() -> Sequence[tuple[str, bytes]]:
    """Bodies of single events by id; the id stands in the body where the body can be read at all."""
    told = '"type":"page.viewed","identity":{"email":"%s@example.com"}'

    def event(id_: str, more: str) -> tuple[str, bytes]:
        return id_, ("{" + f'"event_id":"{id_}",' + told % id_ + more + "}").encode("utf-8", "surrogatepass")

    huge, deep = "9" * 5000, 20_000
    return (
        ("broken", b'{"event_id":"broken","type":"page.viewed","identity":{"email":'),
        ("no-json", b"\x00\x01\x02 event"),
        ("empty", b""),
        ("null", b"null"),
        ("list", b"[[[]]]"),
        ("utf-16", '{"event_id":"utf-16","type":"page.viewed"}'.encode("utf-16")),
        ("not-utf-8", b'{"event_id":"not-utf-8","type":"page.viewed","identity":{"email":"\xff\xfe@example.com"}}'),
        ("deep", b'{"event_id":"deep","properties":' + b"[" * deep + b"]" * deep + b"}"),
        event("megabyte", f',"properties":{{"filling":"{"x" * _MEGABYTE}"}}'),
        event("nul", ',"properties":{"a\\u0000b":"c\\u0000d"}'),
        event("raw-nul", ',"properties":{"a":"b\x00c"}'),
        event("surrogate", ',"properties":{"a":"\\ud800"}'),
        event("raw-surrogate", ',"properties":{"a":"\ud800"}'),
        event("twice", ',"type":"demo.requested","identity":{"email":"other@example.com"}'),
        event("twice-in-properties", ',"properties":{"a":1,"a":2,"a":{"a":3,"a":4}}'),
        event("huge-integer", f',"properties":{{"a":{huge}}}'),
        event("huge-float", ',"properties":{"a":1e400,"b":-1e400,"c":1e-400}'),
        event("not-a-number", ',"properties":{"a":NaN,"b":Infinity}'),
        event("huge-employees", f',"person":{{"employees":{huge}}}'),
        event("negative", ',"person":{"employees":-1}'),
        event("far-future", ',"occurred_at":"9999-12-31T23:59:59Z"'),
        event("far-past", ',"occurred_at":"0001-01-01T00:00:00Z"'),
        event("no-time", ',"occurred_at":"99999999999999999999"'),
    )


@row(26, "poison over HTTP: broken JSON, 1 MB, NUL, repeated keys, huge numbers", part="a")
async def poison_over_http(run: Run) -> None:
    """Each is answered 202 or refused with 4xx, never with 5xx or silence; what is accepted is applied or put into
    quarantine; no process ends, and the neighbours in a batch are stored."""
    await run.load.reached(0.2)
    before = run.deployment.restarts()
    async with run.fault("poison over HTTP"):
        for number in range(int(run.pick(full=20, quick=5, smoke=2))):
            for id_, content in poisoned_bodies():
                await _poison(run, f"{id_}-{number}", _renamed(id_, f"{id_}-{number}", content))
        await asyncio.gather(*(_among_others(run, id_, content) for id_, content in poisoned_bodies()))
    await run.progress()
    stored = {
        dict(one.headers).get("ce_id") for held in (await run.off(read_all, run, EVENTS)).values() for one in held
    }
    neighbours = {f"{when}-{id_}".encode() for when in ("before", "after") for id_, content in poisoned_bodies()
                  if content and len(content) < _MEGABYTE}  # fmt: skip
    if lost := neighbours - stored:
        raise RowFailed(f"not stored beside poison: {sorted(lost)}")
    if (after := run.deployment.restarts()) != before:
        raise RowFailed(f"processes ended: restarts were {before} and are {after}")


async def _poison(run: Run, id_: str, content: bytes) -> None:
    item = Item("event", _POISON, id_, id_, "page.viewed", content)
    try:
        answer = await run.client.post(
            run.settings.url_of("ingest") + "/v1/events",
            params={"source": _POISON},
            content=content,
            headers={"content-type": "application/json"},
        )
    except httpx.TransportError as error:
        raise RowFailed(f"{id_} is not answered: {type(error).__name__}: {error}") from error
    if answer.status_code not in _HARMLESS:
        raise RowFailed(f"{id_} is answered {answer.status_code}: {answer.text[:200]}")
    run.history.measured.setdefault(f"answered {answer.status_code}", [0])[0] += 1
    accepted = answer.status_code == _ACCEPTED
    line = {"kind": "event", "source": _POISON, "event_id": id_, "person": id_, "type": item.type,
            "body": item.digest, "sent_at": 0.0, "answered_at": 0.0, "status": answer.status_code,
            "result": "accepted" if accepted else "invalid",
            "answer_id": answer.json().get("event_id") if accepted else None}  # fmt: skip
    run.history.answer(line)


async def _among_others(run: Run, id_: str, content: bytes) -> None:
    """A body as one of three lines: whatever becomes of it, the others are answered and stored."""
    neighbours = [_event(f"{when}-{id_}", f"{id_}@example.com") for when in ("before", "after")]
    line = _renamed(id_, f"between-{id_}", content).replace(b"\n", b" ")
    between = Item("event", _REPLAYS, f"between-{id_}", id_, "page.viewed", line)
    request = Request(Way.NDJSON, (neighbours[0], between, neighbours[1]))
    if len(request.content) < _MEGABYTE and line.strip():
        await run.load.deliver(request)


def _renamed(id_: str, new: str, content: bytes) -> bytes:
    """The body under another id."""
    return content.replace(f'"{id_}"'.encode(), f'"{new}"'.encode())
