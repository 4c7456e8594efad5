"""`funnel sources`, and the source `development` of `funnel up`, against a running ingest."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from funnel.cli.development import NAME, DevelopmentKeys, development_keys
from funnel.embedded.home import Home
from funnel.embedded.ports import free_port
from funnel.errors import FunnelError
from funnel.settings import Settings
from services.ingest.domain.access import Book
from tests.integration.ingest.sources_desk import served

TOKEN = "a token of the tests"


@pytest.fixture
def settings(database_dsn: str, tmp_path: Path) -> Settings:
    """An ingest that others could reach, so that the commands need the token."""
    return Settings(
        home=tmp_path / "home",
        kafka_bootstrap="127.0.0.1:1",
        postgres_dsn=database_dsn,
        ingest_port=free_port(),
        require_keys=True,
        admin_token=TOKEN,
    )


@pytest.fixture
async def book(settings: Settings) -> AsyncIterator[Book]:
    async with served(settings) as kept:
        yield kept.book


async def run(settings: Settings, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    told = {
        "FUNNEL_HOME": str(settings.home),
        "FUNNEL_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "FUNNEL_POSTGRES_DSN": settings.postgres_dsn,
        "FUNNEL_INGEST_PORT": str(settings.ingest_port),
        "FUNNEL_ADMIN_TOKEN": settings.admin_token,
        "COLUMNS": "80",
    }
    command = [sys.executable, "-c", "from funnel.cli import main; main()", "sources", *words]
    return await asyncio.to_thread(
        subprocess.run, command, env=os.environ | told | more, capture_output=True, text=True, check=False
    )


async def told(settings: Settings, *words: str) -> Any:
    done = await run(settings, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_a_source_from_its_beginning_to_the_end_of_a_key(settings: Settings, book: Book) -> None:
    added = await run(
        settings,
        *("add", "shop", "--origin", "https://www.example.com", "--redirect", "https://www.example.com/"),
        *("--events-per-second", "50", "--field", "q1=person.company", "--min-fill-seconds", "1.5", "--turnstile"),
    )
    assert added.returncode == 0, added.stderr
    assert "this is the only time they are shown" in added.stdout
    lines = [line.split() for line in added.stdout.splitlines() if line.startswith(("write key", "secret key"))]
    keys = {kind: key for kind, _, key in lines}
    assert (keys["write"][:4], keys["secret"][:4]) == ("fwk_", "fsk_")

    shown = await told(settings, "show", "shop")
    assert (shown["events_per_second"], shown["min_fill_seconds"], shown["turnstile"]) == (50, 1.5, True)
    assert shown["fields"] == {"q1": "person.company"}
    assert {key["kind"]: key["hint"] for key in shown["keys"]} == {kind: key[:8] for kind, key in keys.items()}

    rotated = await told(settings, "rotate", "shop", "--kind", "secret", "--expires-old-after", "3600")
    assert rotated["key"].startswith("fsk_")
    (old,) = (key for key in rotated["source"]["keys"] if key["expires_at"])
    left = await told(settings, "revoke", "shop", old["id"])
    assert old["id"] not in {key["id"] for key in left["keys"]}
    assert (await told(settings, "list"))["sources"] == [left]


async def test_set_adds_and_takes_away_and_leaves_the_rest(settings: Settings, book: Book) -> None:
    await told(settings, "add", "shop", "--origin", "https://a.example", "--field", "q1=person.company")
    changed = await told(settings, "set", "shop", "--origin", "https://b.example", "--field", "q2=person.title")
    assert changed["origins"] == ["https://a.example", "https://b.example"]
    assert changed["fields"] == {"q1": "person.company", "q2": "person.title"}
    changed = await told(
        settings, "set", "shop", "--drop-origin", "https://a.example", "--drop-field", "q1", "--inactive"
    )
    assert (changed["origins"], changed["active"]) == (["https://b.example"], False)
    assert changed["fields"] == {"q2": "person.title"}
    assert (await told(settings, "set", "shop", "--active"))["origins"] == ["https://b.example"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "nobody"], "There is no source nobody."),
        (["add", "scoring"], "/name: is reserved for the services of the funnel"),
        (["add", "blog", "--origin", "www.example.com"], "/origins/0: must be a scheme and a host"),
        (["add", "shop"], "There is a source shop already."),
        (["revoke", "shop", "not-an-id"], "key_id"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    settings: Settings, book: Book, words: list[str], sentence: str
) -> None:
    await told(settings, "add", "shop")
    refused = await run(settings, *words)
    assert refused.returncode != 0
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1


async def test_without_the_token_the_command_says_what_it_needs(settings: Settings, book: Book) -> None:
    refused = await run(settings, "list", FUNNEL_ADMIN_TOKEN="")
    assert refused.returncode == 1
    assert "admin token" in refused.stderr


async def test_the_tables_fit_a_terminal(settings: Settings, book: Book) -> None:
    await told(settings, "add", "a-shop-with-quite-a-long-name", "--origin", f"https://{'long.' * 12}example.com")
    for words in (["list"], ["show", "a-shop-with-quite-a-long-name"]):
        done = await run(settings, *words)
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "…" not in done.stdout


# -- the source of `funnel up` ---------------------------------------------------------------------------------------


async def development(settings: Settings) -> DevelopmentKeys:
    return await asyncio.to_thread(development_keys, settings, Home.at(settings.home))


async def test_the_keys_of_the_development_source_are_the_same_at_every_start(settings: Settings, book: Book) -> None:
    first = await development(settings)
    assert {kind: key.key[:4] for kind, key in first.items()} == {"write": "fwk_", "secret": "fsk_"}
    assert await development(settings) == first
    shown = await told(settings, "show", NAME)
    assert shown["origins"] == ["*"]
    assert {key["id"] for key in shown["keys"]} == {key.id for key in first.values()}


async def test_only_their_owner_can_read_the_keys(settings: Settings, book: Book) -> None:
    await development(settings)
    kept = Home.at(settings.home).development_keys_file
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.chmod(0o644)
    kept.write_text("{}")
    await development(settings)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["", "not json", '{"write": 1}', None])
async def test_keys_that_are_lost_are_made_anew_and_the_old_ones_end(
    settings: Settings, book: Book, damage: str | None
) -> None:
    before = await development(settings)
    kept = Home.at(settings.home).development_keys_file
    kept.unlink() if damage is None else kept.write_text(damage)
    after = await development(settings)
    assert not {key.key for key in before.values()} & {key.key for key in after.values()}
    live = {key["id"] for key in (await told(settings, "show", NAME))["keys"]}
    assert live == {key.id for key in after.values()}
    assert await development(settings) == after


async def test_a_revoked_key_is_replaced_and_the_other_one_stays(settings: Settings, book: Book) -> None:
    before = await development(settings)
    await told(settings, "revoke", NAME, before["secret"].id)
    after = await development(settings)
    assert after["write"] == before["write"]
    assert after["secret"] != before["secret"]


async def test_keys_of_a_database_that_is_gone_are_replaced(settings: Settings, book: Book) -> None:
    home = Home.at(settings.home)
    home.development_keys_file.write_text('{"write": {"id": "1", "key": "fwk_old"}, "secret": {"id": "2", "key": "x"}}')
    assert (await development(settings))["write"].key != "fwk_old"


async def test_without_ingest_there_is_a_sentence(settings: Settings) -> None:
    with pytest.raises(FunnelError, match="does not answer"):
        await development(settings)
