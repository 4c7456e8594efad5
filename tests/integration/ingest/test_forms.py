"""Forms over real HTTP into real Kafka: as browsers, scripts and HubSpot's clients post them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest

from funnel.settings import Settings
from services.ingest.domain.source import Source
from services.ingest.turnstile import Turnstile
from tests.integration.ingest.keys import Keys, new_source
from tests.integration.ingest.service import read, running, value
from tests.integration.ingest.siteverify import REFUSED, SiteVerify, siteverify
from tests.support.kafka import Record
from tests.unit.ingest.forms.given import BOUNDARY, MULTIPART, multipart, urlencoded

FORM = "/v1/forms/contact"
PERSON = [
    ("氏名", "表 太郎"),
    ("フリガナ", "ｵﾓﾃ ﾀﾛｳ"),
    ("メールアドレス", "ｔａｒｏ＠example.com"),
]
URLENCODED = {"content-type": "application/x-www-form-urlencoded"}
BROWSER = {
    **URLENCODED,
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "ja,en-US;q=0.7,en;q=0.3",
    "referer": "https://www.example.com/",
    "origin": "https://www.example.com",
}
SHOP = Source(
    "shop",
    origins=("https://www.example.com",),
    redirects=("https://www.example.com/",),
    fields={"q1": "person.company"},
    turnstile=False,
)
GUARDED = Source("guarded", turnstile=True)


@pytest.fixture
async def verifier() -> AsyncIterator[SiteVerify]:
    async with siteverify() as started:
        yield started


@pytest.fixture
def settings(settings: Settings, database_dsn: str) -> Settings:
    """With the real Postgres, where sources are, and keys required as on a server that others reach."""
    return settings.model_copy(
        update={"postgres_dsn": database_dsn, "require_keys": True, "turnstile_secret": "a secret"}
    )


@pytest.fixture
async def shop(settings: Settings) -> Keys:
    return await new_source(settings, SHOP)


@pytest.fixture
async def guarded(settings: Settings) -> Keys:
    return await new_source(settings, GUARDED)


@pytest.fixture
async def client(
    settings: Settings, shop: Keys, guarded: Keys, verifier: SiteVerify, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr("services.ingest.app.Turnstile", partial(Turnstile, url=verifier.url, seconds_max=0.5))
    async with running(settings) as client:
        yield client


def suspicion(record: Record) -> str | None:
    found = record.headers.get("ce_suspect")
    return None if found is None else found.decode()


async def token(client: httpx.AsyncClient, form: str = "contact") -> str:
    response = await client.get(f"/v1/forms/{form}/token")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    return str(response.json()["token"])


# -- what is read ----------------------------------------------------------------------------------------------------


async def test_forms_of_pages_in_every_charset_say_the_same(client: httpx.AsyncClient, settings: Settings) -> None:
    posted: dict[str, dict[str, str]] = {}
    for charset in ("utf-8", "cp932", "euc_jp"):
        company = "能登ソフト" if charset == "euc_jp" else "㈱能登ソフト"  # Python's codec has no ㈱; browsers do
        pairs = [*PERSON, ("会社名", company), ("お問い合わせ内容", "資料をください😀")]
        for body, content_type in (
            (urlencoded(pairs, charset), URLENCODED["content-type"]),
            (multipart(pairs, charset), MULTIPART.decode()),
        ):
            response = await client.post(FORM, content=body, headers={"content-type": content_type})
            assert response.status_code == 202
            posted[response.json()["event_id"]] = dict(pairs)
    records = read(settings)
    assert len(records) == len(posted)
    for record in records:
        event = value(record)
        assert event["properties"]["fields"] == posted[event["event_id"]]
        assert event["identity"] == {"email": "ｔａｒｏ＠example.com"}
        assert event["person"]["name"] == "表 太郎"
        assert event["person"]["name_kana"] == "ｵﾓﾃ ﾀﾛｳ"
        assert event["person"]["message"] == "資料をください😀"
        assert (event["source"], event["type"], event["properties"]["form"]) == ("default", "form.submitted", "contact")
        assert suspicion(record) is None


async def test_a_form_posted_as_json(client: httpx.AsyncClient, settings: Settings) -> None:
    sent = {"email": "a@example.com", "consent_email": True, "従業員数": 1200, "_type": "demo.requested"}
    assert (await client.post(FORM, json=sent)).status_code == 202
    event = value(read(settings)[0])
    assert (event["type"], event["person"], event["consent"]) == (
        "demo.requested",
        {"employees": 1200},
        {"email": True, "basis": "consent"},
    )


async def test_of_a_file_only_name_and_size_are_stored(client: httpx.AsyncClient, settings: Settings) -> None:
    body = multipart([("email", "a@example.com")], files=[("図面", "平面図.pdf", b"%PDF-1.7" * 1000)])
    assert (await client.post(FORM, content=body, headers={"content-type": MULTIPART.decode()})).status_code == 202
    (record,) = read(settings)
    assert value(record)["properties"]["fields"]["図面"] == "平面図.pdf (8000 bytes)"
    assert b"%PDF" not in (record.value or b"")


async def test_where_the_person_came_from(client: httpx.AsyncClient, settings: Settings) -> None:
    landing = "https://www.example.com/?utm_source=Google&gclid=CjAbC"
    fields = [
        ("email", "a@example.com"),
        ("_landing_url", landing),
        ("_first_touch", json.dumps({"landing_url": landing})),
    ]
    assert (await client.post(FORM, content=urlencoded(fields), headers=BROWSER)).status_code == 202
    assert value(read(settings)[0])["context"] == {
        "page_url": "https://www.example.com/",
        "landing_url": landing,
        "utm": {"source": "Google"},
        "click_ids": {"gclid": "CjAbC"},
        "first_touch": {"landing_url": landing, "utm": {"source": "Google"}, "click_ids": {"gclid": "CjAbC"}},
    }


# -- what is answered ------------------------------------------------------------------------------------------------


async def test_a_browser_is_sent_on_to_a_page_that_the_source_lists(client: httpx.AsyncClient, shop: Keys) -> None:
    fields = [("email", "a@example.com"), ("_key", shop.write), ("_redirect", "/thanks?lang=ja")]
    response = await client.post(FORM, content=urlencoded(fields), headers=BROWSER)
    assert (response.status_code, response.headers["location"]) == (303, "https://www.example.com/thanks?lang=ja")
    assert response.content == b""


async def test_a_browser_is_sent_nowhere_else_but_the_lead_is_stored(
    client: httpx.AsyncClient, settings: Settings, shop: Keys
) -> None:
    elsewhere = (
        *("https://evil.example/", "//evil.example", "https://www.example.com.evil.example/", "javascript:alert(1)"),
        *("https://www.example.com@evil.example/", "\\\\evil.example", "https://www.example.com/\r\nX: y"),
    )
    for wanted in elsewhere:
        fields = [("email", "a@example.com"), ("_redirect", wanted)]
        response = await client.post(f"{FORM}?key={shop.write}", content=urlencoded(fields), headers=BROWSER)
        assert response.status_code == 202
        assert "location" not in response.headers
        assert "ありがとうございました" in response.text
    assert len(read(settings)) == len(elsewhere)


async def test_the_thank_you_page_is_closed_to_everything_else(client: httpx.AsyncClient) -> None:
    response = await client.post(FORM, content=b"email=a%40example.com", headers=BROWSER | {"accept-language": "en"})
    assert (response.status_code, response.headers["content-type"]) == (202, "text/html; charset=utf-8")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "Thank you" in response.text
    assert "a@example.com" not in response.text


async def test_without_a_way_to_reach_the_person_nothing_is_stored(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    response = await client.post(FORM, content=urlencoded([("お名前", "山田")]), headers=URLENCODED)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in response.json()["errors"]] == ["/email", "/phone"]
    assert "山田" not in response.text

    shown = await client.post(FORM, content=urlencoded([("お名前", "山田")]), headers=BROWSER)
    assert (shown.status_code, shown.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert "メールアドレスまたは電話番号を入力してください" in shown.text
    assert read(settings) == []


REFUSED_BODIES: list[tuple[str, bytes, str, int, str]] = [
    (FORM, b"{", "application/json", 400, "bad-json"),
    (FORM, b"x", "multipart/form-data; boundary=b", 400, "bad-form"),
    (FORM, b"<x/>", "application/xml", 415, "unsupported-media-type"),
    (FORM, b"a=1&" * 901, URLENCODED["content-type"], 413, "too-large"),
    (FORM, b"a=" + b"x" * 2_000_000, URLENCODED["content-type"], 413, "too-large"),
    (FORM, b'{"fields": [{}]}', "application/json", 422, "invalid-event"),
    ("/v1/forms/-x", b"email=a%40example.com", URLENCODED["content-type"], 422, "invalid-parameters"),
    (f"/v1/forms/{'x' * 101}", b"email=a%40example.com", URLENCODED["content-type"], 422, "invalid-parameters"),
    (f"{FORM}?key=fsk_secret", b"email=a%40example.com", URLENCODED["content-type"], 401, "secret-key-in-url"),
]


async def test_what_is_refused_is_a_problem_to_scripts_and_a_page_to_people(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    for path, content, content_type, status, slug in REFUSED_BODIES:
        headers = {"content-type": content_type}
        response = await client.post(path, content=content, headers=headers)
        assert (response.status_code, response.json()["type"]) == (status, f"urn:funnel:problem:{slug}"), slug
        shown = await client.post(path, content=content, headers=BROWSER | headers)
        assert (shown.status_code, shown.headers["content-type"]) == (status, "text/html; charset=utf-8"), slug
        assert "送信できませんでした" in shown.text
        assert shown.headers["content-length"] == str(len(shown.content))
    assert read(settings) == []


@pytest.mark.parametrize(
    ("path", "body"), [(f"{FORM}?key=fwk_old", b"email=a%40b.jp"), (FORM, b"email=a%40b.jp&_key=fwk_old")]
)
async def test_a_form_whose_key_nobody_knows_any_more_is_put_aside_and_not_lost(
    client: httpx.AsyncClient, settings: Settings, path: str, body: bytes
) -> None:
    assert (await client.post(path, content=body, headers=URLENCODED)).status_code == 202
    (record,) = read(settings)
    assert (value(record)["source"], record.headers["ce_suspect"]) == ("default", b"unknown-key")


async def test_a_forms_key_and_table_are_its_sources(client: httpx.AsyncClient, settings: Settings, shop: Keys) -> None:
    fields = [("email", "a@example.com"), ("q1", "例社"), ("_key", shop.write)]
    assert (await client.post(FORM, content=urlencoded(fields), headers=URLENCODED)).status_code == 202
    (record,) = read(settings)
    assert (value(record)["source"], value(record)["person"]) == ("shop", {"company": "例社"})
    assert shop.write.encode() not in (record.value or b"")


# -- HubSpot ---------------------------------------------------------------------------------------------------------

HUBSPOT: dict[str, Any] = {
    "fields": [
        {"objectTypeId": "0-1", "name": "email", "value": "taro@example.com"},
        {"objectTypeId": "0-1", "name": "lastname", "value": "鈴木"},
        {"objectTypeId": "0-2", "name": "name", "value": "例社"},
    ],
    "submittedAt": "1763800000000",
    "context": {"hutk": "60c2ccdf", "pageUri": "https://www.example.com/?gclid=AbC", "ipAddress": "192.0.2.7"},
    "legalConsentOptions": {
        "consent": {"consentToProcess": True, "text": "I agree", "communications": [{"value": True}]}
    },
    "skipValidation": True,
}


async def test_a_site_of_hubspots_changes_the_address_and_nothing_else(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    paths = (
        "/submissions/v3/integration/submit/123456/b1f9-contact",
        "/submissions/v3/integration/secure/submit/123456/b1f9-contact",
        "/v1/forms/b1f9-contact",
    )
    for path in paths:
        response = await client.post(path, json=HUBSPOT)
        assert response.status_code == 200
        assert list(response.json()) == ["inlineMessage"]
    records = read(settings)
    assert len(records) == len(paths)
    for record in records:
        event = value(record)
        assert event["identity"] == {"email": "taro@example.com", "visitor_id": "60c2ccdf"}
        assert event["person"] == {"last_name": "鈴木", "company": "例社"}
        assert event["consent"] == {"marketing": True, "email": True, "basis": "consent", "text": "I agree"}
        assert event["context"]["click_ids"] == {"gclid": "AbC"}
        assert event["occurred_at"].startswith("2025-11-22T08:26:40")
        assert event["properties"]["form"] == "b1f9-contact"
        assert b"192.0.2.7" not in (record.value or b"")


async def test_hubspots_clients_are_told_where_to_go_on(client: httpx.AsyncClient, shop: Keys) -> None:
    fields = [*HUBSPOT["fields"], {"name": "_redirect", "value": "https://www.example.com/thanks"}]
    response = await client.post(f"{FORM}?key={shop.write}", json=HUBSPOT | {"fields": fields})
    assert (response.status_code, response.json()) == (200, {"redirectUri": "https://www.example.com/thanks"})


# -- spam ------------------------------------------------------------------------------------------------------------


async def test_suspects_are_answered_like_everybody_and_stored_with_a_mark(
    client: httpx.AsyncClient, settings: Settings, shop: Keys
) -> None:
    person = ("email", "a@example.com")
    posts = {
        None: ([person], {}),
        "honeypot": ([person, ("website_confirm_url", "03")], {}),
        "bad-token": ([person, ("_token", "v1.x")], {}),
        "too-fast": ([person, ("_token", await token(client))], {}),
        "origin": ([person, ("_key", shop.write)], {"origin": "https://evil.example"}),
        "honeypot,bad-token,origin": (
            [person, ("website_confirm_url", "x"), ("_token", "x"), ("_key", shop.write)],
            {"origin": "https://evil.example"},
        ),
    }
    scripts, pages = [], []
    for fields, headers in posts.values():
        scripts.append(await client.post(FORM, content=urlencoded(fields), headers=URLENCODED | headers))
        pages.append(await client.post(FORM, content=urlencoded(fields), headers={**BROWSER, **headers}))
    assert {response.status_code for response in (*scripts, *pages)} == {202}
    assert {tuple(response.json()) for response in scripts} == {("event_id", "status")}
    assert len({response.content for response in pages}) == 1
    records = {record.headers["ce_id"].decode(): record for record in read(settings)}
    marks = [suspicion(records[response.json()["event_id"]]) for response in scripts]
    assert marks == list(posts)
    trapped = [value(records[response.json()["event_id"]])["properties"]["fields"] for response in scripts]
    assert [fields.get("website_confirm_url") for fields in trapped] == [None, "03", None, None, None, "x"]


async def test_a_double_click_is_one_event(client: httpx.AsyncClient, settings: Settings) -> None:
    body = urlencoded([("email", "a@example.com"), ("_token", await token(client))])
    first, second = await asyncio.gather(*(client.post(FORM, content=body, headers=URLENCODED) for _ in range(2)))
    assert first.json() == second.json()
    records = read(settings)
    assert len({(record.headers["ce_id"], record.headers["ce_bodyhash"]) for record in records}) == 1


async def test_a_token_is_for_its_form(client: httpx.AsyncClient, settings: Settings) -> None:
    body = urlencoded([("email", "a@example.com"), ("_token", await token(client, "fair"))])
    assert (await client.post(FORM, content=body, headers=URLENCODED)).status_code == 202
    assert suspicion(read(settings)[0]) == "bad-token"
    assert (await client.get("/v1/forms/-/token")).status_code == 422


async def test_turnstile_decides_who_is_a_suspect(
    client: httpx.AsyncClient, settings: Settings, guarded: Keys, verifier: SiteVerify
) -> None:
    async def mark(*fields: tuple[str, str]) -> tuple[str | None, Any]:
        body = urlencoded([("email", "a@example.com"), ("_key", guarded.write), *fields])
        response = await client.post(FORM, content=body, headers=URLENCODED)
        assert response.status_code == 202
        event_id = response.json()["event_id"].encode()
        (record,) = [record for record in read(settings) if record.headers["ce_id"] == event_id]
        assert b"a response" not in (record.value or b"")
        return suspicion(record), value(record)["properties"].get("turnstile")

    given = ("cf-turnstile-response", "a response")
    assert await mark(given) == (None, None)
    assert await mark() == ("turnstile", None)
    verifier.answer = REFUSED
    assert await mark(given) == ("turnstile", None)
    verifier.status, verifier.answer = 500, b"oops"
    assert await mark(given) == (None, "unavailable")
    verifier.is_silent = True
    assert await mark(given) == (None, "unavailable")


async def test_a_long_letter_is_taken_whole(client: httpx.AsyncClient, settings: Settings) -> None:
    letter = "あ" * 30_000
    body = urlencoded([("email", "a@example.com"), ("message", letter)])
    assert (await client.post(FORM, content=body, headers=URLENCODED)).status_code == 202
    (record,) = read(settings)
    assert value(record)["person"]["message"] == value(record)["properties"]["fields"]["message"] == letter


async def test_a_form_packed_again_under_its_idempotency_key_is_the_same_form(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    """A script that sends FormData again sends another boundary."""
    fields, named = [("email", "a@example.com"), ("message", "hello")], {"idempotency-key": "k-1"}
    answers = []
    for boundary in (b"first", b"second"):
        body = multipart(fields).replace(BOUNDARY.encode(), boundary)
        content_type = MULTIPART.replace(BOUNDARY.encode(), boundary).decode()
        answers.append(await client.post(FORM, content=body, headers={"content-type": content_type} | named))
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotent-replayed"] == "true"
    other = await client.post(FORM, content=urlencoded([("email", "b@example.com")]), headers=URLENCODED | named)
    assert (other.status_code, other.json()["type"]) == (422, "urn:funnel:problem:idempotency-key-reused")
    elsewhere = await client.post("/v1/forms/other", content=urlencoded(fields), headers=URLENCODED | named)
    assert elsewhere.status_code == 202
    assert len(read(settings)) == 2


# -- what never leaves -----------------------------------------------------------------------------------------------


async def test_what_must_never_be_stored_is_not(client: httpx.AsyncClient, settings: Settings) -> None:
    fields = [("email", "a@example.com"), ("password", "hunter2"), ("カード番号", "4111111111111111")]
    assert (await client.post(FORM, content=urlencoded(fields), headers=URLENCODED)).status_code == 202
    (record,) = read(settings)
    assert not re.search(rb"hunter2|4111", record.value or b"")


async def test_nothing_typed_is_logged(client: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]) -> None:
    typed = [
        ("お名前", "秘密太郎"),
        ("email", "secret.taro@example.com"),
        ("tel", "090-9999-0000"),
        ("x", "hidden words"),
    ]
    for body, content_type in (
        (urlencoded(typed), URLENCODED["content-type"]),
        (multipart(typed), MULTIPART.decode()),
        (multipart(typed)[:-20], MULTIPART.decode()),
        (json.dumps(dict(typed)).encode() + b"}", "application/json"),
    ):
        await client.post(f"{FORM}?key=fwk_unknown", content=body, headers={"content-type": content_type})
        await client.post(FORM, content=body, headers={"content-type": content_type})
    metrics = (await client.get("/metrics")).text
    out, trouble = capfd.readouterr()
    for words in ("秘密", "secret.taro", "9999-0000", "99990000", "hidden words"):
        assert words not in out + trouble + metrics
