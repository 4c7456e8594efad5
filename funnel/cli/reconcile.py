"""`funnel reconcile`: after a failover that lost the end of the database, the tables take in what was published."""

from __future__ import annotations

import asyncio
import importlib
import json
from typing import Annotated

import typer

from funnel.postgres import Database
from funnel.settings import Settings
from funnel.spine import reconcile as spine
from funnel.spine.reconcile import Adopter, Adoption

# Services stand on this package, so they are named here and not imported; what was published first comes first.
_ADOPTERS = {
    "scoring": ("services.scoring.adopter", "ScoringAdopter"),
    "routing": ("services.routing.adopter", "RoutingAdopter"),
    "metrics": None,  # publishes nothing, and reads again what it does not know
}


def reconcile(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be adopted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Adopt what the topics hold and the tables do not know. What was published first, wins.

    For a standby that was promoted without the last transactions, or a database put back to an earlier moment: the
    services then refuse to read on. Each service's tables change in one transaction, and the service goes on by itself.
    May be run again at any time; where all is known, nothing changes. Exit code 1: something cannot be adopted, or a
    service is at work; that service's tables are as before.
    """
    done = asyncio.run(_all(Settings(), dry_run=dry_run))
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "services": {name: _plain(one) for name, one in done.items()}}))
        return
    for service, one in done.items():
        typer.echo(_sentence(service, one, dry_run=dry_run))
        for note in one.notes:
            typer.echo(f"note: {note}", err=True)


async def _all(settings: Settings, *, dry_run: bool) -> dict[str, Adoption]:
    return {service: await _one(settings, service, dry_run=dry_run) for service in _ADOPTERS}


async def _one(settings: Settings, service: str, *, dry_run: bool) -> Adoption:
    database = await Database.open(settings.postgres_dsn, schema=service, application_name="funnel reconcile", size=1)
    try:
        return await spine.reconcile(settings, service, _adopter(service), database, dry_run=dry_run)
    finally:
        await database.close()


def _adopter(service: str) -> Adopter | None:
    found = _ADOPTERS[service]
    if found is None:
        return None
    module, name = found
    adopter: Adopter = getattr(importlib.import_module(module), name)()
    return adopter


def _plain(one: Adoption) -> dict[str, object]:
    return {"adopted": dict(one.adopted), "notes": list(one.notes)}


def _sentence(service: str, one: Adoption, *, dry_run: bool) -> str:
    if not one.adopted:
        return f"{service}: the tables know all that was published."
    what = ", ".join(f"{count} {kind}" for kind, count in one.adopted.items())
    return f"{service}: {'would adopt' if dry_run else 'adopted'} {what}."
