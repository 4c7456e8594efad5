"""How soon a lead has a rep after a kill: measured, and judged by nobody, since machines differ."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Sequence
from typing import Final

import psutil
from confluent_kafka import Consumer, TopicPartition

from chaos.errors import RowFailed
from chaos.faults import row
from chaos.faults.replicas import replica_of
from chaos.run import Run
from chaos.traffic import Item, Request, Way
from funnel.topics import topics

_ASSIGNMENTS: Final = "lead-assignments"
_SOURCE: Final = "recovery"
_ASSIGNED_SECONDS: Final = 60.0
_LEADS: Final = 16
"""So many at once: about each partition gets one, also those that the dead process read."""


@row(2, "time from a kill to the next assignment, started again in place", part="b")
async def restarted_in_place(run: Run) -> None:
    """Scoring, then routing, is killed and started again by its supervisor. Leads that are posted right after the
    kill are assigned; the report has the seconds from the kill to the first and to the last of them."""
    await run.load.reached(0.2)
    for service in ("scoring", "routing"):
        for number in range(int(run.pick(full=5, quick=3, smoke=2))):
            await _kill_and_measure(run, service, service, f"{service}, in place {number}")


@row(2, "time from a kill to the next assignment, another replica takes over", part="c",
     replicas={"scoring": 2, "routing": 2})  # fmt: skip
async def taken_over(run: Run) -> None:
    """One of two replicas of scoring, then of routing, is killed and not started again; the other one takes its
    partitions over. Measured as before."""
    await run.load.reached(0.2)
    for service in ("scoring", "routing"):
        for number in range(int(run.pick(full=5, quick=3, smoke=2))):
            supervisor = _supervisor(await run.deployment.pid(service))
            try:
                os.kill(supervisor, signal.SIGSTOP)  # so that nobody starts it again
                await _kill_and_measure(run, service, service, f"{service}, taken over {number}")
            finally:
                os.kill(supervisor, signal.SIGCONT)
            owner = replica_of(await run.deployment.pid(service))
            await run.until(
                lambda: owner in {one["owner"] for one in run.watcher.positions() if one["service"] == service},  # noqa: B023
                _ASSIGNED_SECONDS,
                f"{owner} has a share of {service} again",
            )


def _supervisor(pid: int) -> int:
    parent = psutil.Process(pid).parent()
    if parent is None:
        raise RowFailed(f"process {pid} has no supervisor")
    return parent.pid


async def _kill_and_measure(run: Run, service: str, name: str, what: str) -> None:
    """Kill, post leads at once, and write down when the first and the last of them were assigned."""
    people = [f"{what.replace(' ', '-').replace(',', '')}-{n}@example.com" for n in range(_LEADS)]
    tail = await run.off(_tail, run)
    try:
        pid = await run.deployment.pid(name)
        run.record("inject", f"kill {what}")
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        posting = asyncio.gather(*(run.load.deliver(Request(Way.SINGLE, (_demo(person),))) for person in people))
        arrived = await run.off(_arrivals, tail, people)
        await posting
    finally:
        await run.off(tail.close)
    seconds = [round(at - killed, 2) for at in sorted(arrived)]
    run.record("heal", f"kill {what}", f"assigned after {seconds[0]} to {seconds[-1]} s")
    run.history.measured.setdefault(f"{what[:-2]}: seconds to the first", []).append(seconds[0])
    run.history.measured.setdefault(f"{what[:-2]}: seconds to the last of {_LEADS}", []).append(seconds[-1])
    await run.progress()


def _tail(run: Run) -> Consumer:
    """A reader of what is assigned from now on."""
    consumer = Consumer({"bootstrap.servers": run.brokers.direct, "group.id": run.topic("chaos-recovery"),
                         "enable.auto.commit": False, "fetch.wait.max.ms": 20, "log_level": 0})  # fmt: skip
    name = run.topic(_ASSIGNMENTS)
    places = [TopicPartition(name, number) for number in range(topics()[_ASSIGNMENTS].partitions)]
    for place in places:
        place.offset = consumer.get_watermark_offsets(place, timeout=10)[1]
    consumer.assign(places)
    return consumer


def _arrivals(tail: Consumer, people: Sequence[str]) -> list[float]:
    """When the first record about each of the people came. Raises RowFailed when one has none in time."""
    waiting, found, give_up = {person.encode() for person in people}, [], time.monotonic() + _ASSIGNED_SECONDS
    while waiting:
        for message in tail.consume(100, timeout=0.05):
            value = message.value() or b""
            if mine := {person for person in waiting if person in value}:
                waiting -= mine
                found.append(time.monotonic())
        if time.monotonic() > give_up:
            raise RowFailed(
                f"{len(waiting)} of {len(people)} leads are not assigned {_ASSIGNED_SECONDS:.0f} s after it"
            )
    return found


def _demo(person: str) -> Item:
    body = {
        "event_id": f"demo-{person}",
        "type": "demo.requested",
        "identity": {"email": person},
        "person": {"name": "Ito Ren", "company": person, "employees": 50, "title": "Director", "country": "JP"},
    }
    return Item("event", _SOURCE, f"demo-{person}", person, "demo.requested", json.dumps(body).encode())
