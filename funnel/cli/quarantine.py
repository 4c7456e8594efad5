"""`funnel quarantine`: the records that were not applied, and giving them a second chance."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from funnel.cli.masking import masked_headers, masked_json, readable_json
from funnel.kafka.producer import Producer
from funnel.postgres import Database
from funnel.settings import Settings
from funnel.spine import quarantine as kept
from funnel.spine.quarantine import Quarantined, QuarantinedRecord

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Records that could not be applied, or may be spam: look at them, replay them.",
)


class Service(StrEnum):
    """Who put the record aside. Each service has a quarantine of its own."""

    SCORING = "scoring"
    ROUTING = "routing"
    METRICS = "metrics"


_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Which = Annotated[Service, typer.Argument(help="Whose quarantine.", show_default=False)]


@app.command("list")
def list_(
    service: Annotated[Service | None, typer.Option(help="Of this service only.")] = None,
    replayed: Annotated[bool, typer.Option("--all", help="Also those already replayed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many per service, oldest first.")] = 100,
    as_json: _Json = False,
) -> None:
    """List quarantined records, oldest first: which services put each aside, under which id, and why.

    A suspect, which may be spam, has a reason that begins with `suspect:`. Nothing of it was taken in.
    """
    services = [service] if service else list(Service)
    found = [(one, record) for one in services for record in asyncio.run(_listing(one, replayed, limit))]
    if as_json:
        typer.echo(json.dumps([_plain(one, record) for one, record in found], indent=2, ensure_ascii=False))
    else:
        _print_list(found)


@app.command()
def show(
    service: _Which,
    number: Annotated[int, typer.Argument(help="Its id.", show_default=False)],
    unmasked: Annotated[bool, typer.Option("--unmasked", help="Show personal data.")] = False,
    as_json: _Json = False,
) -> None:
    """Show one record whole: where it lay, why it is here, its headers and value. Personal data is masked."""
    record = asyncio.run(_record(service, number))
    told = _plain(service, record) | _content(record, unmasked=unmasked)
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    table = Table(show_header=False)
    table.add_column(style="cyan")
    table.add_column(overflow="fold")
    for name, value in told.items():
        table.add_row(name, value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))
    Console().print(table, markup=False)


@app.command()
def replay(
    service: _Which,
    numbers: Annotated[list[int], typer.Argument(help="The ids.", show_default=False)],
) -> None:
    """Publish records again, as they were, to the topic they came from.

    Each is applied once however often this is done; one that still cannot be applied comes back here. All services
    read it again, so it counts as replayed in all their quarantines. A suspect is thereby released: it is taken in
    like any other event.
    """
    asyncio.run(_replay(service, numbers))


@asynccontextmanager
async def _database(settings: Settings, service: Service) -> AsyncIterator[Database]:
    database = await Database.open(
        settings.postgres_dsn, schema=service.value, application_name="funnel quarantine", size=1
    )
    try:
        yield database
    finally:
        await database.close()


async def _listing(service: Service, replayed: bool, limit: int) -> list[Quarantined]:
    async with _database(Settings(), service) as database:
        return await kept.listing(database, replayed=replayed, limit=limit)


async def _record(service: Service, number: int) -> QuarantinedRecord:
    async with _database(Settings(), service) as database:
        return await kept.show(database, number)


async def _replay(service: Service, numbers: list[int]) -> None:
    settings = Settings()
    async with AsyncExitStack() as opened:
        database = await opened.enter_async_context(_database(settings, service))
        others = [await opened.enter_async_context(_database(settings, one)) for one in Service if one is not service]
        producer = await Producer.open(settings, client_id="funnel-quarantine", repeats=True)
        opened.push_async_callback(producer.close)
        for number in numbers:
            await kept.replay(database, producer, settings.topic_prefix, number, others)
            typer.echo(f"Record {number} of {service.value} was published again.")


def _plain(service: Service, record: Quarantined) -> dict[str, Any]:
    """What is known of a record besides its content."""
    told = {name: value for name, value in asdict(record).items() if name not in ("key", "value", "headers")}
    times = {name: told[name] and told[name].isoformat() for name in ("at", "replayed_at")}
    return {"service": service.value, **told, **times}


def _content(record: QuarantinedRecord, *, unmasked: bool) -> dict[str, Any]:
    headers = [(name, value.decode("utf-8", "backslashreplace")) for name, value in record.headers]
    if unmasked:
        key = record.key.decode("utf-8", "backslashreplace") if record.key is not None else None
        value = readable_json(record.value) if record.value is not None else None
        return {"key": key, "headers": dict(headers), "value": value}
    value = masked_json(record.value) if record.value is not None else None
    return {"headers": dict(masked_headers(headers)), "value": value}


def _print_list(found: Iterable[tuple[Service, Quarantined]]) -> None:
    """One line per record of the log, whoever put it aside."""
    copies: dict[tuple[str, int, int], list[tuple[Service, Quarantined]]] = {}
    for service, record in sorted(found, key=lambda one: one[1].at):
        copies.setdefault((record.topic, record.partition, record.record_offset), []).append((service, record))
    if not copies:
        typer.echo("Nothing is in quarantine.")
        return
    places = {place: f"{place[0]}/{place[1]}@{place[2]}" for place in copies}
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("put aside by", no_wrap=True)
    table.add_column("record, source", overflow="fold", width=max(map(len, places.values())))
    table.add_column("age", no_wrap=True, justify="right")
    table.add_column("reason", overflow="fold")
    now = datetime.now(UTC)
    for place, same in copies.items():
        _, first = same[0]
        replayed = all(record.replayed_at is not None for _, record in same)
        table.add_row(
            "\n".join(f"{service.value} {record.id}" for service, record in sorted(same)),
            f"{places[place]}\n{first.source}",
            _age(now - first.at) + ("\nreplayed" if replayed else ""),
            "\n".join(_reasons(same)),
        )
    Console().print(table, markup=False)


def _reasons(same: list[tuple[Service, Quarantined]]) -> list[str]:
    """Why it was put aside: once when all services say the same."""
    reasons = {record.reason for _, record in same}
    return list(reasons) if len(reasons) == 1 else [f"{service.value}: {record.reason}" for service, record in same]


def _age(age: timedelta) -> str:
    """In its largest whole unit."""
    seconds = max(0, int(age.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
