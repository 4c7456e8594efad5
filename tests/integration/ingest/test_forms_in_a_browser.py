"""Forms sent by a real browser from pages of another origin, in the charsets that pages are written in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from funnel.settings import Settings
from services.ingest.domain.source import Source
from tests.integration.ingest.browser import CHROMIUM, Site, form_page, site, visit
from tests.integration.ingest.keys import Keys, new_source
from tests.integration.ingest.service import read, running, value

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")

TYPED = {
    "お名前": "表 能太郎",
    "フリガナ": "ｵﾓﾃ ﾉｳﾀﾛｳ",
    "会社名": "㈱髙﨑①～－",
    "メールアドレス": "ｎｏｕ＠example.com",
    "お問い合わせ内容": '絵文字😀と"引用"、100% & café <b>',
}
WIDENED = {"フリガナ": "オモテ ノウタロウ"}
"""ISO-2022-JP has no half-width kana as browsers write it."""

PAGES = {"shift_jis": "cp932", "euc-jp": "ascii", "utf-8": "utf-8", "iso-2022-jp": "ascii"}
"""Charset of a page -> the codec it is written with; what the codec lacks stands there as a reference."""


@pytest.fixture
async def pages() -> AsyncIterator[Site]:
    async with site() as started:
        started.pages["/thanks"] = b"<!DOCTYPE html><title>thanks</title><p>the site's own page"
        yield started


@pytest.fixture
def settings(settings: Settings, database_dsn: str) -> Settings:
    return settings.model_copy(update={"postgres_dsn": database_dsn, "require_keys": True})


@pytest.fixture
async def keys(settings: Settings, pages: Site) -> Keys:
    return await new_source(settings, Source("shop", origins=(pages.origin,), redirects=(f"{pages.origin}/",)))


@pytest.fixture
async def client(settings: Settings, keys: Keys) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings) as client:
        yield client


async def test_what_is_typed_arrives_whatever_the_page_is_written_in(
    client: httpx.AsyncClient, settings: Settings, keys: Keys, pages: Site
) -> None:
    action = f"{settings.url_of('ingest')}/v1/forms/contact?key={keys.write}"
    fields = {**TYPED, "_redirect": f"{pages.origin}/thanks"}
    for charset, codec in PAGES.items():
        pages.pages[f"/{charset}"] = form_page(action, fields, charset, codec)
        assert "the site's own page" in await visit(f"{pages.origin}/{charset}"), charset
    records = [value(record) for record in read(settings)]
    assert sorted(event["properties"].get("charset", "utf-8") for event in records) == sorted(
        ["cp932", "euc-jp", "utf-8", "iso-2022-jp"]
    )
    for event in records:
        charset = event["properties"].get("charset")
        assert event["properties"]["fields"] == (TYPED | WIDENED if charset == "iso-2022-jp" else TYPED), charset
        assert event["identity"] == {"email": TYPED["メールアドレス"]}
        assert (event["source"], event["context"]["page_url"]) == ("shop", f"{pages.origin}/")


async def test_a_script_sends_a_form_and_reads_the_answer(
    client: httpx.AsyncClient, settings: Settings, keys: Keys, pages: Site
) -> None:
    """Multipart from another origin, as `new FormData(form)` makes it, and then a JSON post with its preflight."""
    action = f"{settings.url_of('ingest')}/v1/forms/contact?key={keys.write}"
    script = f"""
        const form = document.forms[0], url = "{action}";
        const say = async answer => document.body.append(answer.status + " " + (await answer.json()).status + ";");
        fetch(url, {{method: "POST", body: new FormData(form)}}).then(say).then(() =>
            fetch(url, {{method: "POST", headers: {{"content-type": "application/json"}},
                         body: JSON.stringify(Object.fromEntries(new FormData(form)))}})).then(say);
    """
    pages.pages["/"] = form_page(action, TYPED, "shift_jis", "cp932", script=script)
    assert "202 accepted;202 accepted;" in await visit(f"{pages.origin}/")
    records = [value(record) for record in read(settings)]
    assert [event["properties"]["fields"] for event in records] == [TYPED, TYPED]


async def test_a_person_is_told_what_to_correct(
    client: httpx.AsyncClient, settings: Settings, keys: Keys, pages: Site
) -> None:
    action = f"{settings.url_of('ingest')}/v1/forms/contact?key={keys.write}"
    pages.pages["/"] = form_page(action, {"お名前": "山田"}, "shift_jis", "cp932")
    assert "メールアドレスまたは電話番号を入力してください" in await visit(f"{pages.origin}/")
    assert read(settings) == []


async def test_nobody_is_sent_to_a_page_that_is_not_listed(
    client: httpx.AsyncClient, settings: Settings, keys: Keys, pages: Site
) -> None:
    action = f"{settings.url_of('ingest')}/v1/forms/contact?key={keys.write}"
    async with site() as evil:
        evil.pages["/"] = b"<!DOCTYPE html><p>evil"
        wanted = evil.origin.replace("127.0.0.1", "localhost") + "/"
        pages.pages["/"] = form_page(action, {**TYPED, "_redirect": wanted}, "utf-8", "utf-8")
        assert "ありがとうございました" in await visit(f"{pages.origin}/")
    assert len(read(settings)) == 1
