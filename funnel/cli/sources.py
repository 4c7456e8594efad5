"""`funnel sources`: who may send, with which keys, from which pages, and how much."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from funnel.cli.asking import ask
from funnel.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Who may send, and with which keys.")

ONCE = "Only hashes of keys are kept: this is the only time they are shown."
NOT_IN_FORCE = "Ingest could not read this change again yet, so it is not in force: it follows once Postgres answers."


class Kind(StrEnum):
    """A write key is for browsers, a secret key for servers."""

    WRITE = "write"
    SECRET = "secret"  # noqa: S105 - a word, not a password


_Name = Annotated[str, typer.Argument(help="The source's name.", show_default=False)]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Origin = Annotated[
    list[str] | None,
    typer.Option("--origin", metavar="URL", help="A site whose pages may use the write key; * is any. Repeatable."),
]
_Redirect = Annotated[
    list[str] | None,
    typer.Option("--redirect", metavar="URL", help="Beginning of URLs its forms may lead on to. Repeatable."),
]
_Field = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="FORM=OURS", help="What a form field is: q1=person.company. Repeatable."),
]
_Rate = Annotated[
    int | None,
    typer.Option("--events-per-second", metavar="N", min=1, help="What a kind of key may send to one process."),
]
_Honeypot = Annotated[
    str | None, typer.Option("--honeypot", metavar="FIELD", help="Form field that people do not see and leave empty.")
]
_MinFill = Annotated[
    float | None,
    typer.Option("--min-fill-seconds", metavar="S", min=0, help="Who fills a form in faster is no person."),
]
_Turnstile = Annotated[
    bool | None, typer.Option("--turnstile/--no-turnstile", help="Whether its forms bring a Turnstile answer.")
]


@app.command("list")
def list_(as_json: _AsJson = False) -> None:
    """Show every source."""
    sources = ask(Settings(), "ingest", "GET", "/v1/sources")["sources"]
    if as_json:
        _print_json({"sources": sources})
    elif sources:
        Console().print(_table(sources))
    else:
        typer.echo("There are no sources; add one with `funnel sources add NAME`.")


@app.command()
def show(name: _Name, as_json: _AsJson = False) -> None:
    """Show one source and its live keys, as far as they are known."""
    source = ask(Settings(), "ingest", "GET", _path(name))
    if as_json:
        _print_json(source)
    else:
        _print_source(source)


@app.command()
def add(
    name: _Name,
    origin: _Origin = None,
    redirect: _Redirect = None,
    field: _Field = None,
    events_per_second: _Rate = None,
    honeypot: _Honeypot = None,
    min_fill_seconds: _MinFill = None,
    turnstile: _Turnstile = None,
    as_json: _AsJson = False,
) -> None:
    """Add a source and print its keys, once."""
    body = _given(
        origins=origin,
        redirects=redirect,
        fields=dict(map(_mapped, field)) if field else None,
        events_per_second=events_per_second,
        honeypot=honeypot,
        min_fill_seconds=min_fill_seconds,
        turnstile=turnstile,
    )
    added = ask(Settings(), "ingest", "POST", "/v1/sources", {"name": name, **body})
    _warn_unless_in_force(added)
    if as_json:
        _print_json(added)
        return
    _print_source(added)
    _print_keys({"write key": added["write_key"], "secret key": added["secret_key"]})


@app.command("set")
def set_(
    name: _Name,
    origin: _Origin = None,
    drop_origin: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="An origin to take away. Repeatable.")
    ] = None,
    redirect: _Redirect = None,
    drop_redirect: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A redirect to take away. Repeatable.")
    ] = None,
    field: _Field = None,
    drop_field: Annotated[
        list[str] | None, typer.Option(metavar="FORM", help="A form field to map no more. Repeatable.")
    ] = None,
    events_per_second: _Rate = None,
    honeypot: _Honeypot = None,
    min_fill_seconds: _MinFill = None,
    turnstile: _Turnstile = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Whether anything is taken.")] = None,
    as_json: _AsJson = False,
) -> None:
    """Change a source. Origins, redirects and fields are added to those there are."""
    settings = Settings()
    now = ask(settings, "ingest", "GET", _path(name))
    body = _given(
        origins=_changed(now["origins"], origin, drop_origin),
        redirects=_changed(now["redirects"], redirect, drop_redirect),
        fields=_changed_fields(now["fields"], field, drop_field),
        events_per_second=events_per_second,
        honeypot=honeypot,
        min_fill_seconds=min_fill_seconds,
        turnstile=turnstile,
        active=active,
    )
    if not body:
        raise typer.BadParameter("say what to change, such as --origin, --events-per-second or --inactive")
    source = ask(settings, "ingest", "PATCH", _path(name), body)
    if as_json:
        _print_json(source)
    else:
        _print_source(source)


@app.command()
def rotate(
    name: _Name,
    kind: Annotated[Kind, typer.Option(help="Which key.", show_default=False)],
    expires_old_after: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="S", help="Seconds that older keys of the kind have left; without, until they are revoked."
        ),
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Make a new key and print it, once. The older one goes on meanwhile."""
    body = {"kind": kind.value, "expires_old_after": expires_old_after}
    made = ask(Settings(), "ingest", "POST", f"{_path(name)}/keys", body)
    _warn_unless_in_force(made)
    if as_json:
        _print_json(made)
        return
    _print_source(made["source"])
    _print_keys({f"{kind} key": made["key"]})


@app.command()
def revoke(
    name: _Name,
    key_id: Annotated[str, typer.Argument(help="The key's id, from `funnel sources show`.", show_default=False)],
    as_json: _AsJson = False,
) -> None:
    """End a key, at once and for good."""
    source = ask(Settings(), "ingest", "DELETE", f"{_path(name)}/keys/{quote(key_id, safe='')}")
    if as_json:
        _print_json(source)
    else:
        _print_source(source)


def _path(name: str) -> str:
    return f"/v1/sources/{quote(name, safe='')}"


def _given(**asked: object) -> dict[str, object]:
    return {name: value for name, value in asked.items() if value is not None}


def _mapped(text: str) -> tuple[str, str]:
    form_field, equals, ours = text.rpartition("=")
    if not equals or not form_field or not ours:
        raise typer.BadParameter(f"{text!r} is not FORM=OURS, such as q1=person.company")
    return form_field, ours


def _changed(now: Sequence[str], more: Sequence[str] | None, less: Sequence[str] | None) -> list[str] | None:
    """The list after the change; None without one."""
    unknown = [one for one in less or () if one not in now]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not there; there are: {', '.join(now) or 'none'}")
    if not more and not less:
        return None
    return [one for one in now if one not in (less or ())] + list(more or ())


def _changed_fields(
    now: Mapping[str, str], more: Sequence[str] | None, less: Sequence[str] | None
) -> dict[str, str] | None:
    kept = _changed(list(now), None, less)
    if kept is None and not more:
        return None
    return {name: now[name] for name in (list(now) if kept is None else kept)} | dict(map(_mapped, more or ()))


def _print_json(found: object) -> None:
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


def _warn_unless_in_force(made: Mapping[str, Any]) -> None:
    if not made["in_force"]:
        typer.echo(NOT_IN_FORCE, err=True)


def _print_keys(keys: Mapping[str, str]) -> None:
    """Whole lines, whatever the width of the terminal: a key is copied from here."""
    typer.echo("")
    for name, key in keys.items():
        typer.echo(f"{name:<11} {key}")
    typer.echo(ONCE)


def _table(sources: list[dict[str, Any]]) -> Table:
    table = Table(
        Column("name", overflow="fold"),
        Column("origins", overflow="fold"),
        Column("per s", justify="right"),
        "keys",
        "active",
    )
    for source in sources:
        keys = [key["kind"] for key in source["keys"]]
        table.add_row(
            escape(source["name"]),
            escape("\n".join(source["origins"])) or "-",
            f"{source['events_per_second']}",
            ", ".join(f"{keys.count(kind)} {kind}" for kind in Kind),
            "yes" if source["active"] else "no",
            style=None if source["active"] else "dim",
        )
    return table


def _print_source(source: dict[str, Any]) -> None:
    console = Console()
    state = "" if source["active"] else " (inactive)"
    facts = Table("", Column("", overflow="fold"), show_header=False, title=escape(source["name"]) + state)
    rows = {
        "origins": "\n".join(source["origins"]) or "none: pages cannot send events",
        "redirects": "\n".join(source["redirects"]) or "none",
        "events per second": f"{source['events_per_second']}",
        "honeypot": source["honeypot"],
        "min fill seconds": f"{source['min_fill_seconds']:g}",
        "turnstile": "yes" if source["turnstile"] else "no",
        "fields": "\n".join(f"{name} -> {ours}" for name, ours in source["fields"].items()) or "none",
    }
    for name, value in rows.items():
        facts.add_row(name, escape(value))
    console.print(facts)
    keys = Table("key", "starts with", Column("id", overflow="fold"), "expires (UTC)")
    for key in source["keys"]:
        keys.add_row(key["kind"], f"{escape(key['hint'])}..", key["id"], _until(key["expires_at"]))
    console.print(keys if source["keys"] else "No live keys; make one with `funnel sources rotate`.")


def _until(moment: str | None) -> str:
    return "never" if moment is None else f"{datetime.fromisoformat(moment).astimezone(UTC):%m-%d %H:%M}"
