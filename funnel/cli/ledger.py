"""`funnel ledger`: where every record and every lead is."""

from __future__ import annotations

import json
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from funnel.errors import FunnelError
from funnel.settings import Settings

UNACCOUNTED = 2

TIMEOUT_SECONDS = 30.0


def ledger(
    check: Annotated[bool, typer.Option("--check", help="Exit with 2 when anything is unaccounted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the ledger: events, outcomes, leads and assignments, and what is unaccounted.

    Exit code 0: shown. 1: the metrics service could not be asked. 2: with --check, something is unaccounted.
    """
    account = _ask(Settings().url_of("metrics"))
    if as_json:
        typer.echo(json.dumps(account, indent=2))
    else:
        _print(account)
    if check and any(part["unaccounted"] for part in account.values()):
        raise typer.Exit(UNACCOUNTED)


def _ask(url: str) -> dict[str, dict[str, int]]:
    try:
        answer = httpx.get(f"{url}/v1/ledger", timeout=TIMEOUT_SECONDS)
    except httpx.TransportError as error:
        raise FunnelError(f"The metrics service does not answer at {url} ({type(error).__name__}).") from error
    if answer.status_code != httpx.codes.OK:
        raise FunnelError(f"The metrics service cannot tell the ledger: {_detail(answer)}")
    account: dict[str, dict[str, int]] = answer.json()
    return account


def _detail(answer: httpx.Response) -> str:
    try:
        problem: dict[str, Any] = answer.json()
    except ValueError:
        return f"status {answer.status_code}."
    return str(problem.get("detail", f"status {answer.status_code}."))


def _print(account: dict[str, dict[str, int]]) -> None:
    console = Console()
    for name, part in account.items():
        table = Table(title=name, title_justify="left", show_header=False)
        table.add_column(style="cyan", min_width=12)
        table.add_column(justify="right", min_width=10)
        for what, count in part.items():
            wrong = what == "unaccounted" and count
            table.add_row(what.replace("_", " "), f"{count:,}", style="bold red" if wrong else None)
        console.print(table)
