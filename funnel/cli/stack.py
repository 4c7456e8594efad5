"""`funnel up`, `down` and `status`: the stack for daily work."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from funnel.cli.development import NAME, development_keys
from funnel.embedded import running
from funnel.embedded.home import Home
from funnel.embedded.running import Status
from funnel.embedded.stack import Stack
from funnel.errors import FunnelError
from funnel.settings import Settings

NOT_READY = 1
INTERRUPTED = 130


class _Progress:
    """What is happening: a line that changes on a terminal, a line per step elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.status("starting") if console.is_terminal else None
        if self._live:
            self._live.start()
        self._shown = ""

    def show(self, step: str) -> None:
        """Show `step`; of steps that count ("downloading Kafka: 3 of 45 files") the first is enough off a terminal."""
        if self._live:
            self._live.update(step)
        topic = step.partition(":")[0] if " of " in step else step
        if topic != self._shown:
            self._shown = topic
            self._console.print(topic if self._live else step, markup=False, highlight=False)

    def end(self) -> None:
        """Leave the terminal as it was."""
        if self._live:
            self._live.stop()
            self._live = None


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is up, and leave it running.")] = False,
) -> None:
    """Start Kafka, PostgreSQL and the four services, and look after them; Ctrl-C stops everything.

    With FUNNEL_KAFKA_BOOTSTRAP and FUNNEL_POSTGRES_DSN set, those servers are used and only the services are started.
    """
    settings, console = Settings(), Console()
    progress = _Progress(console)
    home = Home.at(settings.home)

    def ready(troubles: list[str]) -> None:
        progress.end()
        _show(console, running.ask(home))
        for trouble in troubles:
            typer.echo(trouble, err=True)
        _show_development_keys(settings, home)
        console.print("Ctrl-C stops everything.")

    try:
        if detach:
            status = running.start_detached(settings, progress.show)
            progress.end()
            _show(console, status)
            _show_development_keys(settings, home)
            _fail_unless_ready(status)
        else:
            running.supervise(settings, progress.show, ready)
            console.print("Stopped.")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        progress.end()


def down() -> None:
    """Stop everything that runs on FUNNEL_HOME: the services first, then Kafka and PostgreSQL."""
    console = Console()
    home = Home.at(Settings().home)
    if running.stop(home, lambda step: console.print(step, markup=False, highlight=False)):
        console.print("Stopped.")
    else:
        console.print(f"Nothing is running on {home.path}.", markup=False, highlight=False)


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what runs, where, and whether it is ready."""
    home = Home.at(Settings().home)
    found = running.ask(home)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    elif found.processes:
        _show(Console(), found)
    elif not found.note:
        typer.echo(f"Nothing is running on {home.path}; start it with `funnel up`.")
    if found.note:
        typer.echo(found.note, err=True)


def _show(console: Console, found: Status) -> None:
    table = Table("process", "pid", Column("where", overflow="fold"), "ready", "detail")
    for process in found.processes:
        ready = "[green]yes" if process.ready else "[red]no"
        table.add_row(process.name, str(process.pid or "-"), process.url, ready, process.detail)
    console.print(table)


def _show_development_keys(settings: Settings, home: Home) -> None:
    """Print the keys to try things with. On a database of your own no source is made unasked."""
    if settings.postgres_dsn:
        return
    token = Stack.at(home, settings).admin_token()
    try:
        keys = development_keys(settings.model_copy(update={"admin_token": token}), home)
    except FunnelError as error:
        typer.echo(f"The source {NAME} is not there: {error}", err=True)
        return
    typer.echo(f"Source {NAME} (kept in {home.development_keys_file}):")
    for kind, key in keys.items():
        typer.echo(f"  {kind} key".ljust(14) + key.key)


def _fail_unless_ready(found: Status) -> None:
    troubles = [f"{process.name}: {process.detail}" for process in found.processes if not process.ready]
    if troubles:
        typer.echo("Not ready: " + "; ".join(troubles) + ". The rest runs on; `funnel down` stops it.", err=True)
        raise typer.Exit(NOT_READY)
