"""`funnel audit`: topics and tables compared record by record, and what was found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from funnel.audit import book
from funnel.audit.auditor import CHUNK, FIRST_LEAD, Auditor
from funnel.audit.findings import MEANINGS, Finding
from funnel.audit.logs import Bounds, LogReader, next_spans
from funnel.cli.asking import ask
from funnel.errors import FunnelError
from funnel.postgres import Database
from funnel.settings import Settings

OPEN, UNDECIDED = 1, 2

WAIT_SECONDS = 1.0

LOSSES = {
    "events": ("events", "unaccounted"),
    "events_answered": ("events", "missing"),
    "outcomes": ("outcomes", "unaccounted"),
    "outcomes_answered": ("outcomes", "missing"),
    "assignments": ("assignments", "unaccounted"),
    "leads": ("leads", "unaccounted"),
}
"""Where the ledger tells each of its kinds."""

app = typer.Typer(add_completion=False, invoke_without_command=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, slots=True)
class Report:
    """What one pass saw. `undecided`: doubts that a relay or a reader which is behind keeps open.

    `ledger`: what the ledger cannot account for and nobody accepted; None when the metrics service was not reached.
    """

    records: int
    leads: int
    undecided: int
    findings: Sequence[Finding]
    ledger: dict[str, int] | None

    @property
    def exit_code(self) -> int:
        if self.findings or any((self.ledger or {}).values()):
            return OPEN
        return UNDECIDED if self.undecided or self.ledger is None else 0


@app.callback()
def audit(
    context: typer.Context,
    as_json: AsJson = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for what is still on its way.", min=0)] = 30.0,
) -> None:
    """Read all topics once, compare them with all tables, and show what is open.

    Exit code 0: all is accounted for. 1: something is open, or the audit was not possible. 2: nothing is open, but not
    everything could be judged: a relay or the metrics service is behind or away.
    """
    if context.invoked_subcommand is not None:
        return
    report = asyncio.run(_pass(Settings(), wait, quiet=as_json))
    if as_json:
        typer.echo(json.dumps(_as_json(report), indent=2))
    else:
        _print(report)
    raise typer.Exit(report.exit_code)


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Also what is gone or accepted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what was found so far, without looking again."""
    findings = asyncio.run(_listed(Settings(), everything))
    if as_json:
        typer.echo(json.dumps([_finding(one) for one in findings], indent=2))
    elif findings:
        Console().print(_table(findings))
    else:
        typer.echo("Nothing is open.")


@app.command()
def accept(
    what: Annotated[list[str], typer.Argument(help="Numbers of findings, or kinds of the ledger.", metavar="ID...")],
    note: Annotated[str, typer.Option(help="Why this is as it is.")],
) -> None:
    """Take findings as they are: they count no more. For what can never heal, with a word for whoever asks later.

    A kind of the ledger (`events_answered`) is accepted by number: what it is short of now.
    """
    asyncio.run(_accept(Settings(), what, note.strip()))


async def _pass(settings: Settings, wait: float, *, quiet: bool) -> Report:
    async with _database(settings) as database:
        reader = LogReader(settings, "audit")
        try:
            with Progress(transient=True, disable=quiet, console=Console(stderr=True)) as progress:
                auditor = Auditor(database, reader)
                records = await _all_records(auditor, reader, await reader.bounds(), progress)
                leads = await _all_leads(auditor, progress)
                await _decided(auditor, wait, progress)
        finally:
            await reader.close()
        async with database.transaction() as tx:
            findings = await book.listed(tx)
            accepted = await book.accepted_losses(tx)
    return Report(records, leads, auditor.pending, findings, await _ledger(settings, accepted))


async def _all_records(auditor: Auditor, reader: LogReader, bounds: Bounds, progress: Progress) -> int:
    task = progress.add_task("records", total=sum(end - begin for begin, end in bounds.values()))
    seen, at = 0, None
    while True:
        spans, at = next_spans(bounds, at, CHUNK)
        records, _ = await reader.read(spans, CHUNK)
        await auditor.look_at_records(records)
        seen += len(records)
        progress.update(task, advance=sum(end - begin for begin, end in spans.values()))
        if at is None:
            return seen


async def _all_leads(auditor: Auditor, progress: Progress) -> int:
    task = progress.add_task("leads", total=None)
    seen, at = 0, FIRST_LEAD
    while found := await auditor.look_at_leads_after(at, CHUNK):
        seen, at = seen + len(found), found[-1]
        progress.update(task, completed=seen)
    return seen


async def _decided(auditor: Auditor, wait: float, progress: Progress) -> None:
    """Look again until every doubt is decided, or the time is over."""
    task = progress.add_task("doubts", total=None)
    loop = asyncio.get_running_loop()
    give_up = loop.time() + wait
    await auditor.recheck()
    while True:
        await auditor.end_look()
        progress.update(task, completed=auditor.pending)
        if not auditor.pending or loop.time() > give_up:
            return
        await asyncio.sleep(WAIT_SECONDS)


async def _listed(settings: Settings, everything: bool) -> list[Finding]:
    async with _database(settings) as database, database.transaction() as tx:
        return await book.listed(tx, closed=everything)


async def _accept(settings: Settings, what: Sequence[str], note: str) -> None:
    if not note:
        raise FunnelError("Say in --note why this is as it is.")
    ids = {int(one) for one in what if one.isdigit()}
    kinds = [one for one in what if not one.isdigit()]
    if unknown := sorted(set(kinds) - (LOSSES.keys() - {"leads"})):
        raise FunnelError(
            f"{unknown[0]!r} is neither the number of a finding nor a kind of the ledger that can be lost."
        )
    account = await _ledger(settings, {}) if kinds else {}
    async with _database(settings) as database, database.transaction() as tx:
        missing = ids - set(await book.accept(tx, ids, note))
        if missing:
            raise FunnelError(f"No finding {min(missing)} is open; nothing was accepted.")
        accepted = await book.accepted_losses(tx)
        for kind in kinds:
            count = (account or {}).get(kind, 0) - accepted.get(kind, 0)
            if count <= 0:
                raise FunnelError(f"The ledger is not short of {kind}, or does not answer; nothing was accepted.")
            await book.accept_loss(tx, kind, count, note)
    typer.echo(f"Accepted: {', '.join(what)}.")


async def _ledger(settings: Settings, accepted: dict[str, int]) -> dict[str, int] | None:
    """What the ledger cannot account for and nobody accepted, by kind; None when it cannot be asked."""
    try:
        account = await asyncio.to_thread(ask, settings, "metrics", "GET", "/v1/ledger")
    except FunnelError:
        return None
    return {kind: max(0, account[part][name] - accepted.get(kind, 0)) for kind, (part, name) in LOSSES.items()}


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    database = await Database.open(settings.postgres_dsn, schema="metrics", application_name="funnel audit")
    try:
        yield database
    finally:
        await database.close()


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "records": report.records,
        "leads": report.leads,
        "undecided": report.undecided,
        "ledger": report.ledger,
        "findings": [_finding(one) for one in report.findings],
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.doubt.kind.value,
        "what": one.doubt.what,
        "lead_id": one.doubt.lead_id,
        "detail": dict(one.doubt.detail),
        "first_seen": one.first_seen.isoformat(),
        "last_seen": one.last_seen.isoformat(),
        "gone_at": one.gone_at and one.gone_at.isoformat(),
        "accepted_at": one.accepted_at and one.accepted_at.isoformat(),
        "note": one.note,
    }


def _print(report: Report) -> None:
    console = Console()
    console.print(f"Looked at {report.records:,} records and {report.leads:,} leads.")
    if report.findings:
        console.print(_table(report.findings))
    for kind, count in (report.ledger or {}).items():
        if count:
            console.print(f"The ledger cannot account for {count:,} {kind}: funnel ledger", style="bold red")
    if report.ledger is None:
        console.print("The ledger was not asked: the metrics service does not answer.", style="yellow")
    if report.undecided:
        console.print(f"{report.undecided:,} could not be judged: a relay or metrics is behind.", style="yellow")
    if report.exit_code == 0:
        console.print("Everything is accounted for.", style="green")


def _table(findings: Sequence[Finding]) -> Table:
    table = Table("id", "kind", "what", "first seen", "state", "meaning")
    for one in findings:
        state = f"accepted: {one.note}" if one.accepted_at else "gone" if one.gone_at else "open"
        seen = f"{one.first_seen:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(one.id), one.doubt.kind.value, one.doubt.what, seen, state, MEANINGS[one.doubt.kind])
    return table
