"""`funnel pools`: who shares leads with whom, how full they are, and what waits."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from funnel.cli.asking import ask
from funnel.settings import Settings


def pools(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the pools with their members, their place in the rotation, and how many leads are held."""
    found = ask(Settings(), "routing", "GET", "/v1/pools")
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    console = Console()
    for pool in found["pools"]:
        held = f"[bold yellow]{pool['held']} held[/]" if pool["held"] else "none held"
        title = f"{escape(pool['name'])}: {held}, {pool['decisions']} decisions"
        table = Table("rep", "name", title=title, title_justify="left")
        for head in ("weight", "current", "open", "capacity"):
            table.add_column(head, justify="right")
        table.add_column("active")
        for member in pool["members"]:
            numbers = (f"{member[part]}" for part in ("weight", "current", "open", "capacity"))
            active = "yes" if member["active"] else "no"
            table.add_row(escape(member["rep"]), escape(member["name"]), *numbers, active)
        console.print(table)
