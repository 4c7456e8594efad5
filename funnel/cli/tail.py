"""`funnel tail`: the newest records of a topic, as they lie in the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from funnel.cli.masking import MASK, masked_headers, masked_json, readable_json
from funnel.errors import FunnelError
from funnel.kafka.consumer import Consumer, Record
from funnel.settings import Settings
from funnel.topics import topics

INTERRUPTED = 130

MAX_RECORDS = 10_000
BATCH_RECORDS = 500
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Shown:
    """A record as it is printed. A key that a foreign producer chose is masked: it may be an e-mail address."""

    topic: str
    partition: int
    offset: int
    at: str
    key: str | None
    headers: dict[str, str]
    value: Any


def tail(
    topic: Annotated[str, typer.Argument(help="Its name without prefix, such as lead-events.", show_default=False)],
    count: Annotated[int, typer.Option("-n", min=0, max=MAX_RECORDS, help="How many of the newest records.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new records until interrupted.")] = False,
    unmasked: Annotated[bool, typer.Option("--unmasked", help="Show personal data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print records of a topic with their headers. Personal data is masked.

    Reads beside the services and moves nobody's position. Exit code 1: could not read.
    """
    if topic not in topics():
        raise FunnelError(f"There is no topic {topic}; known are {', '.join(sorted(topics()))}.")
    try:
        asyncio.run(_tail(Settings(), topic, count, follow=follow, unmasked=unmasked, as_json=as_json))
    except KeyboardInterrupt as error:
        raise typer.Exit(INTERRUPTED) from error


async def _tail(settings: Settings, topic: str, count: int, *, follow: bool, unmasked: bool, as_json: bool) -> None:
    consumer = Consumer(settings, "tail")
    await consumer.start()
    try:
        async for record in _records(consumer, topic, count, follow=follow):
            shown = _shown(topic, record, unmasked=unmasked)
            _print(shown, as_json=as_json)
    finally:
        await consumer.stop()


async def _records(consumer: Consumer, topic: str, count: int, *, follow: bool) -> AsyncIterator[Record]:
    """The newest `count` records of the topic in the order of their time, then those to come."""
    bounds = await consumer.bounds(await consumer.partitions([topic]))
    if not bounds:
        raise FunnelError(f"Topic {topic} does not exist on the broker; `funnel topics` shows those that do.")
    consumer.assign({place: max(begin, end - count) for place, (begin, end) in bounds.items()})
    newest: list[Record] = []
    while any([await consumer.position(place) < end for place, (_, end) in bounds.items()]):
        newest += await _poll(consumer)
        newest = sorted(newest, key=lambda record: (record.timestamp, record.partition, record.offset))[-count:]
    for record in newest:
        yield record
    while follow:
        for record in await _poll(consumer):
            yield record


async def _poll(consumer: Consumer) -> list[Record]:
    return [record for records in (await consumer.poll(BATCH_RECORDS, POLL_SECONDS)).values() for record in records]


def _shown(topic: str, record: Record, *, unmasked: bool) -> Shown:
    headers = [(name, value.decode("utf-8", "replace")) for name, value in record.headers]
    ours = any(name == "ce_id" for name, _ in headers)  # our keys are ids or keyed hashes
    key = record.key.decode("utf-8", "replace") if record.key is not None else None
    return Shown(
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        at=datetime.fromtimestamp(record.timestamp / 1000, UTC).isoformat(timespec="milliseconds"),
        key=key if key is None or ours or unmasked else MASK,
        headers=dict(headers if unmasked else masked_headers(headers)),
        value=_value(record.value, unmasked=unmasked),
    )


def _value(raw: bytes | None, *, unmasked: bool) -> Any:
    if raw is None:
        return None
    return readable_json(raw) if unmasked else masked_json(raw)


def _print(shown: Shown, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(shown), ensure_ascii=False))
        return
    headers = "  ".join(f"{name}={value}" for name, value in shown.headers.items())
    typer.secho(f"{shown.topic}/{shown.partition}@{shown.offset}  {shown.at}  key={shown.key}", bold=True)
    typer.secho(f"  {headers}", dim=True)
    typer.echo(f"  {json.dumps(shown.value, ensure_ascii=False)}")
