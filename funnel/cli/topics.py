"""`funnel topics`: the topics as their files declare them and as the broker has them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from funnel import topics as declared
from funnel.errors import FunnelError
from funnel.kafka.offsets import log_bounds
from funnel.settings import Settings

COULD_NOT_ASK = 1
DIFFERS = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One topic. `partitions` is 0 while it does not exist; offsets are those after the last record."""

    name: str
    partitions: int
    retention_days: int
    end_offsets: dict[int, int]
    records: int
    producers: list[str]
    consumers: list[str]
    description: str


def topics(
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 2 when the broker differs from the topic files.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the topics: partitions, retention, records; and where the broker differs from the files.

    Exit code 0: shown. 1: Kafka could not be asked. 2: with --check, something differs.
    """
    try:
        rows, differences = asyncio.run(_ask(Settings()))
    except FunnelError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        raise typer.Exit(COULD_NOT_ASK) from error
    if as_json:
        typer.echo(json.dumps({"topics": [asdict(row) for row in rows], "differences": differences}, indent=2))
    else:
        _print(rows, differences)
    if check and differences:
        raise typer.Exit(DIFFERS)


async def _ask(settings: Settings) -> tuple[list[Row], list[str]]:
    known = declared.topics()
    differences = await declared.drift(
        settings.kafka_bootstrap, prefix=settings.topic_prefix, environment=declared.environment(settings)
    )
    ends: dict[str, dict[int, int]] = {name: {} for name in known}
    begins: dict[str, int] = dict.fromkeys(known, 0)
    for (name, partition), (begin, end) in sorted((await log_bounds(settings, list(known))).items()):
        ends[name][partition] = end
        begins[name] += begin
    rows = [
        Row(
            name=settings.topic_prefix + name,
            partitions=len(ends[name]),
            retention_days=topic.retention_days,
            end_offsets=ends[name],
            records=sum(ends[name].values()) - begins[name],
            producers=topic.producers,
            consumers=topic.consumers,
            description=topic.description,
        )
        for name, topic in known.items()
    ]
    return rows, differences


def _print(rows: list[Row], differences: list[str]) -> None:
    table = Table(Column("topic", no_wrap=True), "partitions", "retention", "records", "from", "to")
    for row in rows:
        partitions = str(row.partitions) if row.partitions else "missing"
        parties = (", ".join(row.producers), ", ".join(row.consumers))
        table.add_row(row.name, partitions, f"{row.retention_days} days", f"{row.records:,}", *parties)
    console = Console()
    console.print(table)
    for difference in differences:
        console.print(difference, style="yellow", markup=False)
