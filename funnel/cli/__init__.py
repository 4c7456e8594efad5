"""The command `funnel`. Each command group is a module of this package; it is imported when it is asked for."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any

import typer
import typer.core
import typer.main

from funnel.errors import FunnelError


@dataclass(frozen=True, slots=True)
class Command:
    """A function, or a `typer.Typer` with commands of its own, as `attribute` of `funnel.cli.<module>`.

    One that `joins` finds the running stack of FUNNEL_HOME in its settings, whatever ports that was started on.
    """

    module: str
    attribute: str
    joins: bool = True


COMMANDS = {
    "up": Command("stack", "up", joins=False),
    "down": Command("stack", "down", joins=False),
    "status": Command("stack", "status", joins=False),
    "import": Command("import_", "import_"),
    "demo": Command("demo", "demo", joins=False),
    "migrate": Command("migrate", "migrate"),
    "topics": Command("topics", "topics"),
    "tail": Command("tail", "tail"),
    "ledger": Command("ledger", "ledger"),
    "audit": Command("audit", "app"),
    "why": Command("why", "why"),
    "sources": Command("sources", "app"),
    "reps": Command("reps", "app"),
    "pools": Command("pools", "pools"),
    "quarantine": Command("quarantine", "app"),
    "position": Command("position", "app"),
    "reconcile": Command("reconcile", "reconcile"),
}


class _Commands(typer.core.TyperGroup):
    """Looks commands up in `COMMANDS`; typer keeps click's types to itself, hence `Any`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = COMMANDS.get(cmd_name)
        if found is None:
            return None
        target = getattr(importlib.import_module(f"funnel.cli.{found.module}"), found.attribute)
        if not isinstance(target, typer.Typer):
            target, function = typer.Typer(add_completion=False), target
            target.command(cmd_name)(function)
        command = typer.main.get_command(target)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=_Commands,
    help="Leads from the web form to the right rep, each exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _before(context: typer.Context) -> None:
    command = COMMANDS.get(context.invoked_subcommand or "")
    if command is not None and command.joins:
        from funnel.embedded.running import join
        from funnel.settings import Settings

        for name, value in join(Settings()).items():
            os.environ.setdefault(name, value)


def main() -> None:
    """Run the command line. An error of our own is one line on stderr and exit code 1."""
    try:
        app()
    except FunnelError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
