"""`funnel reps`: who can be given leads."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from funnel.cli.asking import ask
from funnel.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Who can be given leads.")

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Rep = Annotated[str, typer.Argument(help="The rep's id.", show_default=False)]


@app.command("list")
def list_(as_json: _AsJson = False) -> None:
    """Show every rep: open leads, capacity, pools."""
    reps = ask(Settings(), "routing", "GET", "/v1/reps")["reps"]
    if as_json:
        typer.echo(json.dumps({"reps": reps}, indent=2, ensure_ascii=False))
    elif reps:
        Console().print(_table(reps))
    else:
        typer.echo("There are no reps: leads are held until one is added with `funnel reps add`.")


@app.command()
def add(
    rep: _Rep,
    capacity: Annotated[int, typer.Option(min=0, help="Open leads at once.", show_default=False)],
    name: Annotated[str, typer.Option(help="What to call them; default: the id.", show_default=False)] = "",
    email: Annotated[str, typer.Option(help="Their address.", show_default=False)] = "",
    pool: Annotated[
        list[str] | None,
        typer.Option(help="A pool to join, or POOL:WEIGHT; may be repeated. Default: the only pool there is."),
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Add a rep. Held leads of their pools are given to them at once."""
    body = {
        "id": rep,
        "name": name or rep,
        "email": email,
        "capacity": capacity,
        "pools": [_membership(one) for one in pool or ()],
    }
    _show(ask(Settings(), "routing", "POST", "/v1/reps", body), as_json)


@app.command("set")
def set_(
    rep: _Rep,
    capacity: Annotated[int | None, typer.Option(min=0, help="Open leads at once.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Whether they are given leads.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call them.")] = None,
    email: Annotated[str | None, typer.Option(help="Their address.")] = None,
    as_json: _AsJson = False,
) -> None:
    """Change a rep. What routing.yaml says of a rep is set again when routing starts."""
    asked = {"capacity": capacity, "active": active, "name": name, "email": email}
    body = {key: value for key, value in asked.items() if value is not None}
    if not body:
        raise typer.BadParameter("say what to change: --capacity, --active, --inactive, --name or --email")
    _show(ask(Settings(), "routing", "PATCH", f"/v1/reps/{quote(rep, safe='')}", body), as_json)


def _membership(text: str) -> dict[str, Any]:
    pool, colon, weight = text.partition(":")
    if colon and not weight.isdecimal():
        raise typer.BadParameter(f"{text!r} is not POOL or POOL:WEIGHT, such as sales:3")
    return {"pool": pool} | ({"weight": int(weight)} if colon else {})


def _show(rep: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rep, indent=2, ensure_ascii=False))
    else:
        Console().print(_table([rep]))


def _table(reps: list[dict[str, Any]]) -> Table:
    table = Table("id", "name", "email", "pools")
    for head in ("open", "capacity"):
        table.add_column(head, justify="right")
    table.add_column("active")
    for rep in reps:
        pools = ", ".join(f"{one['pool']}:{one['weight']}" for one in rep["pools"])
        table.add_row(
            *(escape(text) for text in (rep["id"], rep["name"], rep["email"], pools)),
            f"{rep['open']}",
            f"{rep['capacity']}",
            "yes" if rep["active"] else "no",
            style=None if rep["active"] else "dim",
        )
    return table
