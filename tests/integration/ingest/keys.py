"""Sources and keys for tests, put straight into the tables that the service reads."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from funnel.postgres import Database
from funnel.settings import Settings
from services.ingest.domain.keys import digest_of, hint_of, make_key, random_bytes_of
from services.ingest.domain.source import KeyKind, Source
from services.ingest.store import sources as store


@dataclass(frozen=True)
class Keys:
    """The keys of one source, as its sender knows them."""

    write: str
    secret: str


async def new_source(settings: Settings, source: Source) -> Keys:
    """Add `source` with a key of each kind."""
    keys = {kind: make_key(kind, secrets.token_bytes(random_bytes_of(kind))) for kind in KeyKind}
    database = await Database.open(settings.postgres_dsn, schema="ingest", application_name="tests", size=1)
    try:
        async with database.transaction() as tx:
            assert await store.add_source(tx, source)
            for kind, key in keys.items():
                await store.add_key(tx, source.name, kind, digest_of(key), hint_of(key))
    finally:
        await database.close()
    return Keys(keys[KeyKind.WRITE], keys[KeyKind.SECRET])
