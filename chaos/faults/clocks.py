"""Clocks that jump, and clocks that disagree."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from chaos.cluster.faketime import Clock
from chaos.errors import RowFailed
from chaos.faults import row
from chaos.faults.brokers import EVENTS
from chaos.faults.seen import read_all
from chaos.run import Run
from chaos.traffic import Item, Request, Way
from funnel.embedded.stack import SERVICES

_SKEW: Final = 600.0
_NOTICED_SECONDS: Final = 2.0
_READY_SECONDS: Final = 90.0
_SOURCE: Final = "clocks"
_AGE: Final = timedelta(seconds=30)
_EXACT_SECONDS: Final = 10.0
"""How far the age of an event may be off: what lies between the client's clock and the moment of receipt."""


@row(31, "the clock jumps 10 minutes forward, back, and 10 minutes behind", part="a", needs=("faketime",))
async def clock_jumps(run: Run) -> None:
    """The clock of all our processes jumps by +10 minutes, back to the truth, to -10 minutes and back, while Postgres
    and Kafka keep theirs.

    No process ends, none loses its leases for good, a repeat under an Idempotency-Key is still known, and an event
    sent with `sent_at` is as old as its sender says. A process that is killed starts under the wrong clock, too.
    """
    assert run.clock is not None
    await run.load.reached(0.1)
    first = await _keyed(run)
    before = run.deployment.restarts()
    for number, seconds in enumerate((_SKEW, 0.0, -_SKEW, 0.0)):
        async with run.fault(f"clock {seconds:+.0f} s"):
            run.clock.shift(seconds)
            await run.pause(_NOTICED_SECONDS)
            await _sent_under_a_true_clock(run, number, seconds)
            await run.progress()
            await run.pause(run.pick(full=30, quick=10, smoke=4))
            await run.progress()
            if (again := await _keyed(run)) != first:
                raise RowFailed(f"under a clock of {seconds:+.0f} s a repeat is answered {again}, not {first}")
            if (after := run.deployment.restarts()) != before:
                raise RowFailed(f"under a clock of {seconds:+.0f} s processes ended: {before} became {after}")
            if seconds:
                for service in ("scoring", "routing", "ingest"):
                    await run.deployment.kill(service)
                await run.progress(_READY_SECONDS)
                before = await _settled(run)


@row(31, "clocks of replicas disagree by 20 minutes", part="b", needs=("faketime",))
async def clocks_disagree(run: Run) -> None:
    """Scoring, routing and metrics get a second replica each; one is 10 minutes ahead and the other one 10 minutes
    behind, then the other way round. Leases change hands meanwhile: they hang on the clock of Postgres alone."""
    assert run.clock is not None
    await run.load.reached(0.1)
    other = Clock(run.home / "other-clock")
    async with run.fault("clocks disagree"):
        names = [run.deployment.add(service, other.environment()) for service in ("scoring", "routing", "metrics")]
        for ours, theirs in ((_SKEW, -_SKEW), (-_SKEW, _SKEW)):
            run.clock.shift(ours)
            other.shift(theirs)
            await run.pause(_NOTICED_SECONDS)
            for name in names:
                await run.until(lambda: not _troubles(run), _READY_SECONDS, "all replicas are ready")
                await run.deployment.kill(name)
                await run.progress()
            await run.pause(run.pick(full=30, quick=10, smoke=4))
        run.clock.shift(0)
        for name in names:
            await run.deployment.remove(name)
    await run.progress()


def _troubles(run: Run) -> bool:
    """Whether some process is not ready. Raises httpx.HTTPError."""
    urls = [url for service in SERVICES for url in run.deployment.urls(service)]
    return any(httpx.get(f"{url}/readyz", timeout=10, trust_env=False).status_code != httpx.codes.OK for url in urls)


async def _settled(run: Run) -> dict[str, int]:
    """How often processes were started again, once all of them run."""
    await run.until(lambda: not _troubles(run), _READY_SECONDS, "all services are ready")
    return run.deployment.restarts()


async def _sent_under_a_true_clock(run: Run, number: int, skew: float) -> None:
    """An event of 30 s ago, sent now by a clock that is right, is 30 s old by the clock of ingest."""
    now = datetime.now(UTC)
    id_ = f"true-{number}"
    await run.load.deliver(Request(Way.SINGLE, (_event(id_, occurred_at=now - _AGE, sent_at=now),)))
    records = [one for held in (await run.off(read_all, run, EVENTS)).values() for one in held]
    told = next(json.loads(one.value) for one in records if one.identity == (_SOURCE, id_))
    received, occurred = (datetime.fromisoformat(told[name]) for name in ("received_at", "occurred_at"))
    ahead = (received - datetime.now(UTC)).total_seconds()
    run.history.measured.setdefault("clock of ingest ahead, seconds", []).append(round(ahead, 1))
    if abs(ahead - skew) > _READY_SECONDS:
        raise RowFailed(f"the clock of ingest is {ahead:.0f} s ahead where it was set to {skew:+.0f} s")
    if abs((received - occurred - _AGE).total_seconds()) > _EXACT_SECONDS:
        raise RowFailed(
            f"an event of 30 s ago is {(received - occurred).total_seconds():.1f} s old under {skew:+.0f} s"
        )


async def _keyed(run: Run) -> tuple[int, str]:
    """Send one request under one Idempotency-Key; the status and the id that it is answered with."""
    item = _event("")
    answer = await run.client.post(
        run.settings.url_of("ingest") + "/v1/events",
        params={"source": "keyed"},
        content=item.content,
        headers={"content-type": "application/json", "idempotency-key": "clock-key"},
    )
    return answer.status_code, str(answer.json().get("event_id"))


def _event(id_: str, **times: datetime) -> Item:
    body: dict[str, Any] = {"type": "page.viewed", "identity": {"email": "clock@example.com"}}
    body |= ({"event_id": id_} if id_ else {}) | {name: at.isoformat() for name, at in times.items()}
    return Item("event", _SOURCE, id_, "clock@example.com", "page.viewed", json.dumps(body).encode())
