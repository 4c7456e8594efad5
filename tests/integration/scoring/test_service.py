"""The service as it runs: real Kafka in, real Kafka out, real Postgres between."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import psycopg
from psycopg.rows import TupleRow

from funnel.contracts import Consent, ConsentStatement, LeadEvent, LeadScore, RememberedTouch, Utm
from funnel.settings import Settings
from tests.support import eventually
from tests.support.scoring import at_minute, event
from tests.support.scoring_service import published, raw_record, record, scoring, send

MAIL = "a@example.com"


def rows(settings: Settings, query: str) -> list[TupleRow]:
    with psycopg.connect(settings.postgres_dsn, options="-c search_path=scoring") as connection:
        return connection.execute(query.encode()).fetchall()


async def all_read(settings: Settings, records: int) -> bool:
    """Whether the service has passed that many records, and published all it decided."""
    query = (
        "SELECT coalesce(sum(applied + duplicates + quarantined), 0)::int, (SELECT count(*) FROM outbox) FROM position"
    )
    ((read, waiting),) = await asyncio.to_thread(rows, settings, query)
    return bool(read == records and waiting == 0)


async def test_a_journey_becomes_one_qualified_lead_on_the_topic(settings: Settings) -> None:
    journey = [
        event("ad.clicked", visitor="v", minute=1, utm_source="google"),
        event(visitor="v", minute=2, page="https://example.com/pricing"),
        event("form.submitted", visitor="v", email=MAIL, minute=3),
    ]
    async with scoring(settings):
        await send(settings, [record(one, 0) for one in journey])
        await eventually(lambda: all_read(settings, 3))

    (lead,) = await published(settings)
    assert (lead.version, lead.stage, lead.qualified, lead.origin) == (1, "mql", True, "google")
    assert lead.score == sum(reason.points for reason in lead.reasons) == 3 + 1 + 5 + 50


async def test_what_a_browser_remembered_is_kept_through_the_tables(settings: Settings) -> None:
    landing = "https://www.example.com/?utm_source=News&mc_eid=AbC"
    remembered = RememberedTouch(
        at=at_minute(-600), landing_url=landing, utm=Utm(source="News"), click_ids={"mc_eid": "AbC"}
    )
    form = event("form.submitted", email=MAIL, first_touch=remembered, consent=ConsentStatement(sms=False))
    async with scoring(settings):
        await send(settings, [record(form, 0)])
        await eventually(lambda: all_read(settings, 1))
        await send(settings, [record(event(email=MAIL, minute=5), 0)])
        await eventually(lambda: all_read(settings, 2))

    first, second = await published(settings)
    assert first.first_touch is not None
    assert (first.first_touch.occurred_at, first.first_touch.landing_url) == (at_minute(-600), landing)
    assert first.first_touch.click_ids == {"mc_eid": "AbC"}
    assert (second.first_touch, second.origin, second.consent) == (first.first_touch, "News", Consent(sms=False))


async def test_records_of_both_versions_of_an_event_are_applied(settings: Settings) -> None:
    old, new = record(event("form.submitted", email=MAIL), 0), record(event("form.submitted", email=MAIL), 0)
    old = replace(old, headers={**old.headers, "ce_dataschema": b"lead_event.v1"})
    async with scoring(settings):
        await send(settings, [old, new])
        await eventually(lambda: all_read(settings, 2))

    assert rows(settings, "SELECT sum(applied)::int FROM position") == [(2,)]


async def test_a_record_that_comes_again_has_no_effect(settings: Settings) -> None:
    form = event("form.submitted", email=MAIL)
    async with scoring(settings):
        await send(settings, [record(form, 0), record(form, 1), record(form, 1)])
        await eventually(lambda: all_read(settings, 3))

    assert [lead.version for lead in await published(settings)] == [1]
    assert rows(settings, "SELECT count(*) FROM touch") == [(1,)]
    assert rows(settings, "SELECT sum(duplicates)::int FROM position") == [(2,)]


async def test_two_replicas_with_one_persons_events_on_two_partitions_make_one_lead(settings: Settings) -> None:
    people = range(60)
    by_mail = [event("form.submitted", email=f"p{n}@example.com", visitor=f"v{n}") for n in people]
    by_both = [event("document.requested", email=f"P{n}@example.com", phone=f"03-1234-{n:04}") for n in people]
    by_cookie = [event(visitor=f"v{n}") for n in people]
    async with scoring(settings, "one"), scoring(settings, "two"):
        held = "SELECT count(DISTINCT owner) FROM position WHERE topic = 'lead-events'"
        await eventually(lambda: rows(settings, held) == [(2,)])
        for start in range(0, len(people), 6):
            some = slice(start, start + 6)
            await asyncio.gather(
                send(settings, [record(one, 0) for one in by_mail[some]]),
                send(settings, [record(one, 1) for one in by_both[some]]),
                send(settings, [record(one, 2) for one in by_cookie[some]]),
            )
        await eventually(lambda: all_read(settings, 3 * len(people)))

    newest = _newest(await published(settings))
    assert len(newest) == len(people)
    assert {lead.score for lead in newest.values()} == {50 + 30 + 1}
    assert {len(lead.identifiers) for lead in newest.values()} == {3}
    assert rows(settings, "SELECT count(*) FROM touch") == [(3 * len(people),)]
    assert rows(settings, "SELECT count(*) FROM conflict") == [(0,)]


def _newest(records: list[LeadScore]) -> dict[str, LeadScore]:
    """The last record of each lead; every lead's versions must count up from 1 in the order of the topic."""
    newest: dict[str, LeadScore] = {}
    for one in records:
        assert one.version == (newest[one.lead_id].version + 1 if one.lead_id in newest else 1)
        newest[one.lead_id] = one
    return newest


async def test_history_is_published_and_never_qualifies(settings: Settings) -> None:
    past = [
        event("form.submitted", external={"olist": str(n)}, mode="history", event_id=f"h{n}", source="olist")
        for n in range(20)
    ]
    async with scoring(settings):
        await send(settings, [record(one) for one in past])
        await eventually(lambda: all_read(settings, 20))

    leads = await published(settings)
    assert Counter((lead.stage, lead.qualified, lead.mode) for lead in leads) == {("engaged", False, "history"): 20}


async def test_text_that_postgres_refuses_is_quarantined_alone(settings: Settings) -> None:
    good = [event("form.submitted", email=f"g{n}@example.com") for n in range(6)]
    nul = event("form.submitted", email="n@example.com")
    bad = [
        raw_record(nul, msgspec.json.encode(nul).replace(b"n@example.com", b"n\\u0000@example.com"), 0),
        record(event("form.submitted", email=f"{_incompressible(9000)}@example.com"), 0),
        record(event("form.submitted", email="　"), 0),
    ]
    sent = [record(one, 0) for one in good]
    async with scoring(settings):
        await send(settings, [*sent[:2], bad[0], *sent[2:4], bad[1], bad[2], *sent[4:]])
        await eventually(lambda: all_read(settings, 9))

    assert len(await published(settings)) == 6
    assert rows(
        settings, "SELECT applied, quarantined FROM position WHERE topic = 'lead-events' AND partition = 0"
    ) == [(6, 3)]
    reasons = [reason for (reason,) in rows(settings, "SELECT reason FROM quarantine ORDER BY record_offset")]
    assert "U+0000" in reasons[0]
    assert "index row size" in reasons[1] or "54000" in reasons[1]
    assert reasons[2] == "identity: there is no identifier in it"


def _incompressible(length: int) -> str:
    """Text too long for an index row, even compressed."""
    return "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))


def write_rules(home: Path, rules: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "scoring.yaml").write_text(rules, encoding="utf-8")


async def test_new_rules_take_effect_after_a_restart_with_the_next_event(settings: Settings) -> None:
    async with scoring(settings):
        await send(settings, [record(event(email=MAIL), 0), record(event(email=MAIL), 0)])
        await eventually(lambda: all_read(settings, 2))
    rules = (
        "stages: {engaged: 1, mql: 500}\ngrades: {Z: 0}\n"
        "engagement: {cap: 900, rules: [{rule: any page, type: page.viewed, points: 100}]}\nfit: {cap: 0, rules: []}\n"
    )
    await asyncio.to_thread(write_rules, settings.home, rules)
    async with scoring(settings):
        await send(settings, [record(event("something.else", email=MAIL), 0)])
        await eventually(lambda: all_read(settings, 3))

    last = (await published(settings))[-1]
    assert (last.score, last.grade) == (200, "Z")


async def test_the_topic_holds_what_the_table_holds(settings: Settings) -> None:
    events: list[LeadEvent] = [
        event("form.submitted" if n % 3 == 0 else "page.viewed", email=f"p{n % 5}@example.com", minute=n)
        for n in range(40)
    ]
    async with scoring(settings):
        await send(settings, [record(one) for one in events])
        await eventually(lambda: all_read(settings, 40))

    newest = _newest(await published(settings))
    stored = rows(settings, "SELECT lead_id::text, version, record::text FROM lead")
    assert len(stored) == 5
    for lead_id, version, text in stored:
        assert newest[lead_id].version == version
        assert msgspec.json.decode(text, type=LeadScore) == newest[lead_id]
