"""Sources and keys on a real PostgreSQL: rotation, revocation, and going on without the database."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest

from funnel.embedded.servers import Servers
from services.ingest.domain.access import Use
from services.ingest.domain.source import KeyKind
from services.ingest.store import sources as store
from tests.integration.ingest.sources_desk import TOKEN, Process, process, processes, switched_off
from tests.support.eventually import eventually


@pytest.fixture
async def two(database_dsn: str) -> AsyncIterator[list[Process]]:
    async with processes(database_dsn, 2) as started:
        yield started


@pytest.fixture
async def one(database_dsn: str) -> AsyncIterator[Process]:
    async with process(database_dsn) as started:
        yield started


def keys_of(source: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [key for key in source["keys"] if key["kind"] == kind]


# -- adding and changing ---------------------------------------------------------------------------------------------


async def test_a_new_source_has_two_keys_that_are_shown_once_and_work_at_once(one: Process) -> None:
    added = await one.add("shop", origins=["HTTPS://www.Example.com/"], redirects=["https://www.example.com"])
    assert added["origins"] == ["https://www.example.com"]
    assert added["redirects"] == ["https://www.example.com/"]
    assert (added["write_key"][:4], added["secret_key"][:4]) == ("fwk_", "fsk_")
    assert added["in_force"] is True
    assert one.admit(added["write_key"]).key_kind is KeyKind.WRITE
    assert one.admit(added["secret_key"]).source.origins == ("https://www.example.com",)

    shown = (await one.client.get("/v1/sources/shop")).json()
    assert shown == {name: added[name] for name in added.keys() - {"write_key", "secret_key", "in_force"}}
    assert (await one.client.get("/v1/sources")).json() == {"sources": [shown]}
    assert {key["hint"] for key in shown["keys"]} == {added["write_key"][:8], added["secret_key"][:8]}


async def test_an_answer_with_a_key_is_stored_nowhere_on_its_way(one: Process) -> None:
    answers = [await one.client.post("/v1/sources", json={"name": "shop"}), await one.rotate("shop", "secret")]
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store", "no-store"]


async def test_the_table_does_not_hold_any_key(database_dsn: str, one: Process) -> None:
    added = await one.add("shop")
    rotated = (await one.rotate("shop", "secret")).json()
    with psycopg.connect(database_dsn) as connection:
        tables = ("ingest.source", "ingest.source_key")
        dump = "".join(str(row) for table in tables for row in connection.execute(f"SELECT t::text FROM {table} t"))
        digests = {bytes(row[0]) for row in connection.execute("SELECT digest FROM ingest.source_key")}
    keys = [added["write_key"], added["secret_key"], rotated["key"]]
    assert [key for key in keys if key[8:] in dump or key.encode().hex() in dump] == []
    assert digests == {hashlib.sha256(key.encode()).digest() for key in keys}


async def test_there_is_one_source_of_a_name(one: Process) -> None:
    added = await one.add("shop")
    answer = await one.client.post("/v1/sources", json={"name": "shop"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:funnel:problem:source-exists")
    assert one.lets_in(added["secret_key"])


async def test_what_is_not_named_in_a_change_stays(one: Process) -> None:
    added = await one.add("shop", origins=["https://www.example.com"], events_per_second=5)
    answer = await one.client.patch("/v1/sources/shop", json={"fields": {"q1": "person.company"}})
    assert answer.json() | {"fields": {}} == {name: added[name] for name in answer.json()}
    source = one.admit(added["secret_key"]).source
    assert (dict(source.fields), source.events_per_second) == ({"q1": "person.company"}, 5)


async def test_a_list_can_be_emptied(one: Process) -> None:
    await one.add("shop", origins=["https://www.example.com"], fields={"q1": "person.company"})
    answer = await one.client.patch("/v1/sources/shop", json={"origins": [], "fields": {}})
    assert (answer.json()["origins"], answer.json()["fields"]) == ([], {})


async def test_a_source_that_is_switched_off_is_refused_at_once_and_everywhere(two: list[Process]) -> None:
    here, there = two
    key = (await here.add("shop"))["secret_key"]
    await eventually(lambda: there.lets_in(key))
    await here.client.patch("/v1/sources/shop", json={"active": False})
    assert here.refusal(key) == "source-inactive"
    await eventually(lambda: there.refusal(key) == "source-inactive")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("POST", "/keys"),
        ("DELETE", f"/keys/{'0' * 8}-{'-'.join(['0' * 4] * 3)}-{'0' * 12}"),
    ],
)
async def test_what_is_not_there_is_not_found(one: Process, method: str, path: str) -> None:
    body = {"kind": "write"} if method == "POST" else {} if method == "PATCH" else None
    answer = await one.client.request(method, f"/v1/sources/nobody{path}", json=body)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:funnel:problem:no-such-source")


@pytest.mark.parametrize(
    ("pointer", "body"),
    [
        ("/name", {"name": "scoring"}),
        ("/name", {"name": "a b"}),
        ("/name", {"name": "nul\x00"}),
        ("/name", {}),
        ("/origins/0", {"name": "shop", "origins": ["www.example.com"]}),
        ("/origins/1", {"name": "shop", "origins": ["*", "https://www.example.com/page"]}),
        ("/redirects/0", {"name": "shop", "redirects": ["/thanks"]}),
        ("/redirects/0", {"name": "shop", "redirects": ["https://www.example.com/\x00"]}),
        ("/events_per_second", {"name": "shop", "events_per_second": 0}),
        ("/events_per_second", {"name": "shop", "events_per_second": 10**9}),
        ("/min_fill_seconds", {"name": "shop", "min_fill_seconds": -1}),
        ("/honeypot", {"name": "shop", "honeypot": ""}),
        ("/honeypot", {"name": "shop", "honeypot": "\x00"}),
        ("/fields/q1", {"name": "shop", "fields": {"q1": "person.shoe_size"}}),
        ("/secret_key", {"name": "shop", "secret_key": "mine"}),
    ],
)
async def test_a_field_that_does_not_fit_is_named(one: Process, pointer: str, body: dict[str, Any]) -> None:
    answer = await one.client.post("/v1/sources", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:funnel:problem:invalid-request")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_any_text_is_answered_and_none_is_a_bug(one: Process) -> None:
    for text in ("\ud800", "\x00", "a" * 10_000, "{detail}", "例え"):
        fields = {"honeypot": text, "fields": {text: "person.company"}, "origins": [text], "redirects": [text]}
        for body in ({"name": text}, *({"name": "shop", name: value} for name, value in fields.items())):
            content = json.dumps(body).encode()
            answer = await one.client.post("/v1/sources", content=content, headers={"content-type": "application/json"})
            assert answer.status_code in (201, 409, 422), (body, answer.text)
    for path in ("/v1/sources/%00", "/v1/sources/%ff", "/v1/sources/a%20b", "/v1/sources/shop/keys/x"):
        answer = await one.client.request("DELETE" if "keys" in path else "GET", path)
        assert answer.status_code in (404, 422), (path, answer.text)


# -- rotation and revocation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["write", "secret"])
async def test_after_a_rotation_the_old_key_and_the_new_one_work(two: list[Process], kind: str) -> None:
    here, there = two
    old = (await here.add("shop"))[f"{kind}_key"]
    answer = await here.rotate("shop", kind)
    new = answer.json()["key"]
    assert answer.status_code == 201
    assert new != old
    assert len(keys_of(answer.json()["source"], kind)) == 2
    assert here.lets_in(old)
    assert here.lets_in(new)
    await eventually(lambda: there.lets_in(old) and there.lets_in(new))


async def test_there_are_at_most_two_live_keys_of_a_kind(one: Process) -> None:
    await one.add("shop")
    assert (await one.rotate("shop", "secret")).status_code == 201
    refused = await one.rotate("shop", "secret")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:funnel:problem:too-many-keys")
    assert (await one.rotate("shop", "write")).status_code == 201


async def test_rotations_at_the_same_time_make_no_third_key(two: list[Process]) -> None:
    await two[0].add("shop")
    answers = await asyncio.gather(*(two[index % 2].rotate("shop", "secret") for index in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]


async def test_a_revoked_key_is_refused_here_at_once_and_by_other_processes_after_the_notice(
    two: list[Process],
) -> None:
    here, there = two
    added = await here.add("shop")
    await here.rotate("shop", "secret")
    await eventually(lambda: there.lets_in(added["secret_key"]))
    (first, _) = keys_of((await here.client.get("/v1/sources/shop")).json(), "secret")

    answer = await here.client.delete(f"/v1/sources/shop/keys/{first['id']}")
    assert [key["id"] for key in keys_of(answer.json(), "secret")] != [first["id"]]
    assert here.refusal(added["secret_key"]) == "unknown-key"
    await eventually(lambda: there.refusal(added["secret_key"]) == "unknown-key", deadline=10.0)
    assert there.lets_in(added["write_key"])


async def test_revoking_twice_is_no_error_and_makes_room_for_a_new_key(one: Process) -> None:
    added = await one.add("shop")
    for key in added["keys"]:
        for _ in range(2):
            assert (await one.client.delete(f"/v1/sources/shop/keys/{key['id']}")).status_code == 200
    assert not one.lets_in(added["write_key"])
    assert one.lets_in((await one.rotate("shop", "write")).json()["key"])


async def test_a_key_of_another_source_is_not_revoked(one: Process) -> None:
    shop = await one.add("shop")
    await one.add("blog")
    answer = await one.client.delete(f"/v1/sources/blog/keys/{shop['keys'][0]['id']}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:funnel:problem:no-such-key")
    assert one.lets_in(shop["write_key"])


async def test_an_old_key_may_be_given_some_time_only(one: Process) -> None:
    added = await one.add("shop")
    answer = (await one.rotate("shop", "secret", expires_old_after=1)).json()
    old, new = keys_of(answer["source"], "secret")
    assert old["expires_at"] is not None
    assert new["expires_at"] is None
    await eventually(lambda: one.refusal(added["secret_key"]) == "unknown-key")
    assert one.lets_in(answer["key"])


async def test_all_old_keys_can_be_ended_at_once(one: Process) -> None:
    old = [(await one.add("shop"))["secret_key"], (await one.rotate("shop", "secret")).json()["key"]]
    answer = await one.rotate("shop", "secret", expires_old_after=0)
    assert answer.status_code == 201
    assert [one.refusal(key) for key in old] == ["unknown-key", "unknown-key"]
    assert one.lets_in(answer.json()["key"])


async def test_a_rotation_never_prolongs_a_key(one: Process) -> None:
    await one.add("shop")
    old, new = keys_of((await one.rotate("shop", "secret", expires_old_after=60)).json()["source"], "secret")
    await one.client.delete(f"/v1/sources/shop/keys/{new['id']}")
    again, _ = keys_of((await one.rotate("shop", "secret", expires_old_after=6000)).json()["source"], "secret")
    assert again == old


# -- without the database --------------------------------------------------------------------------------------------


async def test_a_change_made_by_hand_is_heard_too(database_dsn: str, one: Process) -> None:
    key = (await one.add("shop"))["secret_key"]
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        connection.execute("UPDATE ingest.source SET active = false")
    await eventually(lambda: one.refusal(key) == "source-inactive", deadline=10.0)


async def test_keys_go_on_working_while_postgres_is_away_and_changes_are_heard_afterwards(
    servers: Servers, database_dsn: str, two: list[Process]
) -> None:
    here, there = two
    added = await here.add("shop")
    await eventually(lambda: there.lets_in(added["secret_key"]))
    with switched_off(servers.postgres_dsn, database_dsn):
        assert [await one.book.reload() for one in two] == [False, False]
        for one in two:
            assert one.lets_in(added["secret_key"])
            assert one.lets_in(added["write_key"], Use.BEACON)
            assert one.refusal("fsk_unknown") == "unknown-key"
        answer = await here.client.get("/v1/sources")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:funnel:problem:database-away")
        assert int(answer.headers["retry-after"]) > 0
    await eventually(lambda: here.book.trouble() is None and there.book.trouble() is None)
    revoked = keys_of(added, "secret")[0]["id"]
    assert (await here.client.delete(f"/v1/sources/shop/keys/{revoked}")).status_code == 200
    await eventually(lambda: there.refusal(added["secret_key"]) == "unknown-key")


@contextmanager
def unreadable() -> Iterator[None]:
    """Changes are stored and cannot be read again, as when Postgres goes away right after them."""

    async def load(_: object) -> None:
        raise ConnectionError("away")

    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(store, "load", load)
        yield


async def test_a_change_that_is_stored_and_not_in_force_is_not_answered_as_done(one: Process) -> None:
    added = await one.add("shop")
    (secret,) = keys_of(added, "secret")
    changes: list[tuple[str, str, Any]] = [
        ("DELETE", f"/v1/sources/shop/keys/{secret['id']}", None),
        ("PATCH", "/v1/sources/shop", {"origins": ["*"]}),
    ]
    with unreadable():
        for method, path, body in changes:
            answer = await one.client.request(method, path, json=body)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:funnel:problem:database-away")
            assert "stored" in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) > 0
        assert one.lets_in(added["secret_key"])

    for method, path, body in changes:
        assert (await one.client.request(method, path, json=body)).status_code == 200
    assert one.refusal(added["secret_key"]) == "unknown-key"
    assert one.admit(added["write_key"]).source.origins == ("*",)


async def test_new_keys_that_are_not_in_force_yet_are_shown_and_said_to_be_so(one: Process) -> None:
    with unreadable():
        added = await one.add("shop")
        rotated = await one.rotate("shop", "secret", expires_old_after=0)
        assert (added["in_force"], rotated.status_code, rotated.json()["in_force"]) == (False, 201, False)
    await eventually(lambda: one.lets_in(added["write_key"]) and one.lets_in(rotated.json()["key"]))
    assert one.refusal(added["secret_key"]) == "unknown-key"


async def test_a_process_that_starts_without_postgres_says_wait_and_learns_the_keys_when_it_is_back(
    servers: Servers, database_dsn: str, one: Process
) -> None:
    key = (await one.add("shop"))["secret_key"]
    with switched_off(servers.postgres_dsn, database_dsn) as switch_on:
        async with process(database_dsn) as late:
            await eventually(lambda: late.book.trouble() != "not read yet")
            assert not late.book.loaded
            assert late.refusal(key) == "keys-not-loaded"
            switch_on()
            await eventually(lambda: late.lets_in(key))


async def test_tables_that_are_missing_do_not_end_the_process(servers: Servers) -> None:
    async with process(servers.postgres_dsn) as started:
        await eventually(lambda: "UndefinedTable" in (started.book.trouble() or ""))
        assert started.refusal("fsk_any") == "keys-not-loaded"


# -- who may ---------------------------------------------------------------------------------------------------------

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
LET_IN = 503
"""There is no database behind the door."""

PLACES: list[dict[str, Any]] = [{}, {"host": "0.0.0.0"}, {"host": "::1"}, {"require_keys": False}]


async def knock(settings: dict[str, Any], **headers: str) -> httpx.Response:
    """The answer to a new source asked for with `headers`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with process(NOWHERE, as_admin=False, **settings) as started:
        answer = await started.client.post("/v1/sources", json={"name": "shop"}, headers=named)
    if answer.status_code == 401:
        assert answer.json()["type"] == "urn:funnel:problem:admin-token-required"
        assert answer.headers["www-authenticate"] == "Bearer"
    return answer


@pytest.mark.parametrize("settings", PLACES)
async def test_the_token_is_needed_wherever_ingest_listens(settings: dict[str, Any]) -> None:
    for wrong in ({}, {"authorization": "Bearer another"}, {"authorization": f"Basic {TOKEN}"}):
        assert (await knock(settings, **wrong)).status_code == 401
    for right in ({"authorization": f"Bearer {TOKEN}"}, {"authorization": f"bearer {TOKEN}", "host": "a.example"}):
        assert (await knock(settings, **right)).status_code == LET_IN


@pytest.mark.parametrize("settings", PLACES)
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8000"},
        {"host": "localhost", "origin": "http://localhost"},
        {"host": "127.0.0.1:8000", "x_forwarded_for": "127.0.0.1"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
    ],
)
async def test_without_a_token_being_set_nobody_is_let_in_and_the_setting_is_named(
    settings: dict[str, Any], headers: dict[str, str]
) -> None:
    """Behind a proxy on this machine, anybody looks like a program of this machine."""
    answer = await knock(settings | {"admin_token": ""}, **headers)
    assert answer.status_code == 401
    assert "FUNNEL_ADMIN_TOKEN" in answer.json()["detail"]


# -- what is written down --------------------------------------------------------------------------------------------


async def test_no_key_and_no_token_is_logged(database_dsn: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with process(database_dsn) as started:
        added = await started.add("shop")
        keys = [added["write_key"], added["secret_key"], (await started.rotate("shop", "secret")).json()["key"]]
        for key in (*keys, "fsk_guessed-by-somebody"):
            started.refusal(key)
        told = repr((started.book.book, [started.admit(key) for key in keys]))
    written = capfd.readouterr()
    for secret in (*keys, TOKEN, "fsk_guessed"):
        assert secret not in written.out + written.err + told
