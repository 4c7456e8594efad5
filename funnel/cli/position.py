"""`funnel position`: how far each service has read each partition, and giving up records it cannot read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from funnel.errors import FunnelError
from funnel.failpoints import reach
from funnel.kafka.offsets import log_bounds
from funnel.postgres import Database
from funnel.settings import Settings
from funnel.spine import positions
from funnel.spine.positions import PositionRow

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="How far each partition is read; skipping what cannot be read."
)


class Service(StrEnum):
    """The services that read topics."""

    SCORING = "scoring"
    ROUTING = "routing"
    METRICS = "metrics"


Bounds = dict[tuple[str, int], tuple[int, int]]

_COUNTERS = ("applied", "duplicates", "quarantined", "holes", "skipped")


@app.command()
def show(
    service: Annotated[Service | None, typer.Option(help="Of this service only.")] = None,
    topic: Annotated[str | None, typer.Option(help="Of this topic only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show owner, position, counters and lag of every partition."""
    services = [service] if service else list(Service)
    rows, bounds = asyncio.run(_read(Settings(), services))
    rows = [row for row in rows if topic in (None, row.topic)]
    if as_json:
        typer.echo(json.dumps([_plain(row, bounds) for row in rows], indent=2))
    else:
        _print(rows, bounds)


@app.command()
def skip(
    service: Annotated[Service, typer.Argument(help="Who skips.", show_default=False)],
    topic: Annotated[str, typer.Argument(help="Its name without prefix.", show_default=False)],
    partition: Annotated[int, typer.Argument(min=0, show_default=False)],
    to: Annotated[int, typer.Option(min=0, help="The offset to go on from.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Give up the records before offset TO: they are never applied, and the ledger tells how many for ever.

    For a partition that stopped: records that retention removed unread, or one that makes the service fail.
    """
    settings = Settings()
    row, log = asyncio.run(_partition(settings, service, topic, partition))
    if row is None or row.next is None or log is None:
        raise FunnelError(f"{service.value} has not read {topic}/{partition}, so there is nothing to skip.")
    if not row.next < to <= log[1]:
        raise FunnelError(
            f"{service.value} is at offset {row.next} of {topic}/{partition}, which ends at {log[1]}; skip to between."
        )
    if not yes:
        lost = f"{to - row.next} records of {topic}/{partition} ({row.next} to {to - 1})"
        typer.confirm(f"{service.value} will never apply {lost}. Go on?", abort=True)
    skipped = asyncio.run(_skip(settings, service, topic, partition, to))
    typer.echo(f"{service.value} goes on at offset {to} of {topic}/{partition}; {skipped} skipped there so far.")


async def _read(settings: Settings, services: Sequence[Service]) -> tuple[list[PositionRow], Bounds]:
    """The position rows first, then the ends of the logs: nobody can seem to be ahead of the log."""
    database = await Database.open(
        settings.postgres_dsn, schema=Service.METRICS.value, application_name="funnel position", size=1
    )
    try:
        async with database.transaction() as tx:
            rows = [row for service in services for row in await positions.read(tx, service.value)]
    finally:
        await database.close()
    return rows, await log_bounds(settings, sorted({row.topic for row in rows}))


async def _partition(
    settings: Settings, service: Service, topic: str, partition: int
) -> tuple[PositionRow | None, tuple[int, int] | None]:
    rows, bounds = await _read(settings, [service])
    place = (topic, partition)
    return next((row for row in rows if (row.topic, row.partition) == place), None), bounds.get(place)


async def _skip(settings: Settings, service: Service, topic: str, partition: int, to: int) -> int:
    database = await Database.open(
        settings.postgres_dsn, schema=service.value, application_name="funnel position", size=1
    )
    try:
        async with database.transaction() as tx:
            skipped = await positions.skip(tx, topic, partition, to)
        reach("position.skip.after")
        return skipped
    finally:
        await database.close()


def _lag(row: PositionRow, bounds: Bounds) -> int:
    begin, end = bounds.get((row.topic, row.partition), (0, 0))
    return max(0, end - max(begin, row.next or 0))


def _plain(row: PositionRow, bounds: Bounds) -> dict[str, Any]:
    told = asdict(row)
    if row.lease_until is not None:
        told["lease_until"] = row.lease_until.isoformat()
    return told | {"lag": _lag(row, bounds)}


def _print(rows: Sequence[PositionRow], bounds: Bounds) -> None:
    table = Table("who reads what", "owner", "epoch", "next", "lag")
    for name in _COUNTERS:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row.service} {row.topic}/{row.partition}",
            row.owner if row.owner and row.live else "nobody",
            str(row.epoch),
            "not read yet" if row.next is None else f"{row.next:,}",
            f"{_lag(row, bounds):,}",
            *(f"{getattr(row, name):,}" for name in _COUNTERS),
        )
    Console().print(table)
