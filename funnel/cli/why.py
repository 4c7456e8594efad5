"""`funnel why LEAD`: why the lead went there, or nowhere."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from funnel.cli.asking import Refused, ask
from funnel.errors import FunnelError
from funnel.settings import Settings


def why(
    lead: Annotated[
        str,
        typer.Argument(
            help="Its id, or an e-mail address, phone number or SYSTEM:ID of the person.", show_default=False
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show where a lead is and every decision that brought it there, with each candidate and why they were skipped."""
    settings = Settings()
    lead_id = _lead_id(settings, lead)
    try:
        answer = ask(settings, "routing", "GET", f"/v1/leads/{lead_id}/why")
    except Refused as refused:
        if refused.status != httpx.codes.NOT_FOUND:
            raise
        raise FunnelError(f"Routing has not seen the lead {lead_id}.") from refused
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        _print(answer, ZoneInfo(settings.timezone))


def _lead_id(settings: Settings, text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        pass
    try:
        found = ask(settings, "scoring", "POST", "/v1/leads/lookup", {_kind(text): text})
    except Refused as refused:
        if refused.status != httpx.codes.NOT_FOUND:
            raise
        raise FunnelError("No lead is known by this identifier.") from refused
    return str(found["lead_id"])


def _kind(text: str) -> str:
    if "@" in text and ":" not in text.partition("@")[0]:
        return "email"
    return "external_id" if ":" in text else "phone"


def _print(answer: dict[str, Any], zone: ZoneInfo) -> None:
    console = Console()
    console.print(f"[bold]{escape(answer['explanation'])}[/]")
    console.print(
        f"lead {answer['lead_id']}, score {answer['score']}, stage {answer['stage']}, epoch {answer['epoch']}",
        highlight=False,
    )
    if held := answer["held"]:
        console.print(f"held since {_local(held['since'], zone)}: {held['reason']}; now: {held['reason_now'] or 'due'}")
        console.print(_candidates(held["candidates"]))
    if answer["assignments"]:
        console.print(_assignments(answer["assignments"], zone))
    if answer["decisions"]:
        console.print(_decisions(answer["decisions"], zone))


def _assignments(assignments: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    table = Table(
        "epoch", "rep", "pool", "status", "assigned", "ended", "why", title="assignments", title_justify="left"
    )
    for one in assignments:
        table.add_row(
            f"{one['epoch']}",
            escape(one["rep"]),
            escape(one["pool"]),
            one["status"],
            _local(one["assigned_at"], zone),
            _local(one["ended_at"], zone),
            escape(one["why"] or ""),
        )
    return table


def _decisions(decisions: list[dict[str, Any]], zone: ZoneInfo) -> Table:
    table = Table("when", "number", "decision", "rep", "candidates", "event", title="decisions", title_justify="left")
    for one in decisions:
        number = f"{one['pool']} {one['number']}" if one["number"] else ""
        outcome = f" ({one['outcome']['type']})" if one["outcome"] else ""
        reason = f": {one['reason']}" if one["reason"] else ""
        table.add_row(
            _local(one["at"], zone),
            escape(number),
            escape(f"{one['kind']}{outcome}{reason}"),
            escape(one["rep"] or ""),
            escape("\n".join(map(_candidate, one["candidates"]))),
            escape(f"{one['source']} {one['event_id']}"),
        )
    return table


def _candidates(candidates: list[dict[str, Any]]) -> str:
    return escape("\n".join(f"  {_candidate(one)}" for one in candidates)) or "  nobody is in the pool"


def _candidate(one: dict[str, Any]) -> str:
    return f"{one['rep']} {one['open']}/{one['capacity']} {one['skipped'] or 'free'}"


def _local(at: str | None, zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(at).astimezone(zone):%Y-%m-%d %H:%M:%S}" if at else ""
