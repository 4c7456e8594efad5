"""`funnel import`: rows of a spreadsheet export as events or outcomes."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from funnel.errors import FunnelError
from funnel.importing.checkpoint import Checkpoint, CheckpointFile
from funnel.importing.mapping import ImportMapping, MappingError, load
from funnel.importing.posting import Ingest
from funnel.importing.preview import Preview, count_known, preview
from funnel.importing.rows import Converter, entries
from funnel.importing.run import Fingerprint, Job, fingerprint, run
from funnel.importing.sheet import Sheet, open_sheet
from funnel.settings import Settings

COULD_NOT_RUN = 1
SOME_REJECTED = 3
INTERRUPTED = 130

_LINES = "lines"


class ModeOption(StrEnum):
    """Overrides the mapping's mode."""

    LIVE = "live"
    HISTORY = "history"


def import_(
    file: Annotated[Path, typer.Argument(help="The spreadsheet export (CSV).", show_default=False)],
    mapping: Annotated[Path, typer.Option(help="What its columns mean (YAML).", show_default=False)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Post nothing; say what would happen.")] = False,
    mode: Annotated[ModeOption | None, typer.Option(help="Instead of the mapping's mode.")] = None,
    rejects: Annotated[Path | None, typer.Option(help="Where rows that are not taken go.")] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Do not go on where an interrupted import stopped.")
    ] = False,
) -> None:
    """Post the rows of a spreadsheet export as events or outcomes.

    Importing a file again adds nothing. Exit code 0: every row is in; 3: some were rejected; 1: could not run.
    """
    settings, console = Settings(), Console()
    try:
        chosen = load(mapping, timezone=settings.timezone, mode=mode.value if mode else None)
        found = fingerprint(file)
        if dry_run:
            rejected = _dry_run(console, settings, file, chosen)
        else:
            rejected = _import(console, settings, _job(settings, file, chosen, found, rejects), found, from_start)
    except MappingError as error:
        for problem in error.problems:
            _say(problem)
        raise typer.Exit(COULD_NOT_RUN) from error
    except (FunnelError, OSError) as error:
        _say(str(error))
        raise typer.Exit(COULD_NOT_RUN) from error
    except KeyboardInterrupt as error:
        _say("Stopped. Run the same command again to go on from here; what was posted stays in.")
        raise typer.Exit(INTERRUPTED) from error
    raise typer.Exit(SOME_REJECTED if rejected else 0)


def _job(settings: Settings, file: Path, mapping: ImportMapping, found: Fingerprint, rejects: Path | None) -> Job:
    folder = settings.home / "imports"
    return Job(
        path=file,
        mapping=mapping,
        rejects=rejects or folder / f"{file.stem}.{mapping.name}.rejects.csv",
        checkpoints=CheckpointFile(folder, found.digest, mapping.digest, settings.url_of("ingest")),
    )


def _import(console: Console, settings: Settings, job: Job, found: Fingerprint, from_start: bool) -> int:
    """Import with a progress bar and a summary; returns the number of rejected rows."""
    if from_start:
        job.checkpoints.clear()
    start = job.checkpoints.load()
    if start.line:
        console.print(f"Going on after line {start.line} of an interrupted import ({start.rows} rows are done).")
    mapping = job.mapping
    with (
        httpx.Client(base_url=settings.url_of("ingest"), headers=_key(settings), trust_env=False) as client,
        _progress(console) as progress,
    ):
        task = progress.add_task(_LINES, total=found.lines, completed=start.line)

        def wait(seconds: float, reason: str) -> None:
            progress.update(task, description=f"waiting for ingest ({escape(reason)})")
            time.sleep(seconds)

        ingest = Ingest(client, kind=mapping.kind, source=mapping.name, mode=mapping.mode, wait=wait)
        done = run(job, ingest, lambda state: progress.update(task, completed=state.line, description=_LINES))
    _show_result(console, job, done)
    return done.rejected


def _key(settings: Settings) -> dict[str, str]:
    """The key we post with, if we have one; ingest then refuses a mapping whose source is not the key's."""
    return {"Authorization": f"Bearer {settings.ingest_key}"} if settings.ingest_key else {}


def _show_result(console: Console, job: Job, done: Checkpoint) -> None:
    console.print(_title(job.path, job.mapping), soft_wrap=True)
    table = _table()
    table.add_row("rows", f"{done.rows}")
    table.add_row("accepted", f"{done.accepted}")
    table.add_row("repeated in the file", f"{done.repeats}")
    table.add_row("rejected", f"{done.rejected}", style="bold red" if done.rejected else None)
    console.print(table)
    if done.rejected:
        console.print(f"Rejected rows with line, column and reason: {job.rejects}", soft_wrap=True, markup=False)
        console.print("Repair them there and import that file with the same mapping.")


def _dry_run(console: Console, settings: Settings, file: Path, mapping: ImportMapping) -> int:
    """Print what an import would do; returns the number of rows it would reject."""
    with open_sheet(file, mapping.encoding) as text:
        sheet = Sheet(text, mapping.delimiter)
        found = preview(entries(sheet, Converter(mapping, sheet.header)))
        unused = [name for name in sheet.header if name and name not in mapping.column_names]
    known = _known(console, settings, found)
    _show_preview(console, file, mapping, found, known)
    if unused:
        names = ", ".join(unused)
        console.print(f"Columns the mapping does not use: {names}", soft_wrap=True, markup=False)
    for rejection in found.shown:
        console.print(str(rejection), style="red", markup=False, highlight=False, soft_wrap=True)
    if found.rejected > len(found.shown):
        console.print(f"... and {found.rejected - len(found.shown)} more")
    console.print("Nothing was posted.")
    return found.rejected


def _known(console: Console, settings: Settings, found: Preview) -> int | None:
    """How many of the file's leads scoring knows; None when it is not reachable."""
    with (
        closing(httpx.Client(base_url=settings.url_of("scoring"), trust_env=False)) as client,
        _progress(console) as progress,
    ):
        task = progress.add_task("leads looked up", total=len(found.leads))
        return count_known(client, list(found.leads.values()), lambda: progress.advance(task))


def _show_preview(console: Console, file: Path, mapping: ImportMapping, found: Preview, known: int | None) -> None:
    console.print(f"{_title(file, mapping)}, dry run", soft_wrap=True)
    table = _table()
    table.add_row("rows", f"{found.rows}")
    table.add_row("would be posted", f"{found.items}")
    table.add_row("repeated in the file", f"{found.repeats}")
    table.add_row("would be rejected", f"{found.rejected}", style="bold red" if found.rejected else None)
    table.add_row("first", _local(found.first, mapping))
    table.add_row("last", _local(found.last, mapping))
    if known is None:
        table.add_row("leads", f"{len(found.leads)} (new or known: scoring is not reachable)")
    else:
        table.add_row("new leads", f"{len(found.leads) - known}")
        table.add_row("known leads", f"{known}")
    if found.without_lead:
        table.add_row("visitors, no lead yet", f"{found.without_lead} rows")
    console.print(table)


def _local(moment: str | None, mapping: ImportMapping) -> str:
    if moment is None:
        return "no dates"
    return f"{datetime.fromisoformat(moment).astimezone(mapping.zone):%Y-%m-%d %H:%M} {mapping.zone.key}"


def _title(file: Path, mapping: ImportMapping) -> str:
    return escape(f"{file.name} as {mapping.kind} of source {mapping.name} ({mapping.mode})")


def _table() -> Table:
    table = Table(show_header=False)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    return table


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)
