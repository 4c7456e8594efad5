"""The ledger and the lag over the real log: they equal a hand count, and a planted loss shows."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from funnel.contracts import LeadOutcome
from funnel.settings import Settings
from tests.integration.metrics.funnel_play import Play, record_of
from tests.integration.metrics.services import Client, Witness, replica, running, witnessing
from tests.support import eventually
from tests.support.kafka import Record, produce
from tests.unit.metrics.records import assignment, score

SCORING = Witness("scoring", "lead-events")
ROUTING = Witness("routing", "lead-outcomes")


async def test_the_ledger_equals_a_hand_count(settings: Settings) -> None:
    play = Play(ZoneInfo(settings.timezone), seed=11).leads(50)
    play.publish(settings)
    outcomes = [
        record_of("lead-outcomes", LeadOutcome(type="accepted", source="crm", event_id=f"o-{n}", lead_id=f"l-{n}"))
        for n in range(7)
    ]
    produce(settings.kafka_bootstrap, f"{settings.topic_prefix}lead-outcomes", [*outcomes, *outcomes[:3]])
    produce(settings.kafka_bootstrap, f"{settings.topic_prefix}lead-events", [Record(b"not json"), Record(None)])
    first_event = play.records["lead-events"][0].headers["ce_id"].decode()
    scoring = Witness("scoring", "lead-events", rejects=frozenset({first_event}))
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(running(settings))
        await stack.enter_async_context(witnessing(settings, scoring))
        await stack.enter_async_context(witnessing(settings, ROUTING))
        events, repeats = len(play.records["lead-events"]), play.repeats["lead-events"]
        expected = {
            "events": {
                "accepted": events + 2,
                "answered": 0,
                "spooled": 0,
                "applied": events - repeats - 1,
                "duplicates": repeats,
                "quarantined": 3,
                "in_flight": 0,
                "skipped": 0,
                "missing": 0,
                "unaccounted": 0,
            },
            "outcomes": {
                "accepted": 10,
                "answered": 0,
                "spooled": 0,
                "applied": 7,
                "duplicates": 3,
                "quarantined": 0,
                "in_flight": 0,
                "skipped": 0,
                "missing": 0,
                "unaccounted": 0,
            },
            "assignments": {
                "active": play.expected.states["assigned"],
                "published": play.expected.assignment_records,
                "unpublished": 0,
                "unaccounted": 0,
            },
            "leads": {
                "total": 50,
                **dict.fromkeys(["nurturing", "pending", "assigned", "held", "merged", "suppressed", "closed"], 0),
                **play.expected.states,
                "unaccounted": 0,
            },
        }
        await eventually(lambda: equals(client, expected))


async def test_what_nobody_has_read_is_in_flight_and_as_old_as_it_is(settings: Settings) -> None:
    play = Play(ZoneInfo(settings.timezone), seed=12).leads(20)
    play.publish(settings)
    async with running(settings) as client:
        await eventually(lambda: nothing_waits(client, "metrics"))
        events = len(play.records["lead-events"])
        ledger = await client.json("/v1/ledger")
        assert (ledger["events"]["accepted"], ledger["events"]["in_flight"]) == (events, events)
        assert ledger["events"]["unaccounted"] == 0
        assert (await client.lags())["scoring", "lead-events"] == events
        await eventually(lambda: scoring_lag_ages(client))
        async with witnessing(settings, SCORING):
            await eventually(lambda: nothing_waits(client, "scoring"))
        series = await client.series()
        ages = [
            v
            for (name, labels), v in series.items()
            if name == "funnel_lag_seconds" and ("service", "scoring") in labels
        ]
        assert ages == [0.0] * len(ages)


async def test_records_the_reader_passed_without_counting_them_are_unaccounted(settings: Settings) -> None:
    play = Play(ZoneInfo(settings.timezone), seed=13).leads(20)
    play.publish(settings, ["lead-events"])
    async with running(settings) as client:
        async with witnessing(settings, SCORING):
            await eventually(lambda: nothing_waits(client, "scoring"))
        assert (await client.json("/v1/ledger"))["events"]["unaccounted"] == 0
        change(
            settings, "UPDATE scoring.position SET applied = applied - 2 WHERE topic = 'lead-events' AND applied > 2"
        )
        assert (await client.json("/v1/ledger"))["events"]["unaccounted"] >= 2
        await eventually(lambda: exported_unaccounted(client, "events"))


async def test_a_lead_pending_for_a_minute_is_unaccounted_and_one_that_just_qualified_is_not(
    settings: Settings,
) -> None:
    prefix = settings.topic_prefix
    qualified = record_of("lead-scores", score(1, qualified=True))
    produce(settings.kafka_bootstrap, f"{prefix}lead-scores", [qualified])
    async with running(settings) as client:
        await eventually(lambda: lead_states(client, {"pending": 1, "unaccounted": 0}))
        change(settings, "UPDATE metrics.lead SET unsettled_since = unsettled_since - interval '61 s'")
        await eventually(lambda: lead_states(client, {"pending": 1, "unaccounted": 1}))
        await eventually(lambda: exported_unaccounted(client, "leads"))
        produce(settings.kafka_bootstrap, f"{prefix}lead-assignments", [record_of("lead-assignments", assignment(1))])
        await eventually(lambda: lead_states(client, {"pending": 0, "assigned": 1, "unaccounted": 0}))


async def test_a_lead_with_two_owners_is_unaccounted_at_once(settings: Settings) -> None:
    prefix = settings.topic_prefix
    produce(settings.kafka_bootstrap, f"{prefix}lead-scores", [record_of("lead-scores", score(1, qualified=True))])
    twice = [record_of("lead-assignments", assignment(epoch, epoch=epoch)) for epoch in (1, 2)]
    produce(settings.kafka_bootstrap, f"{prefix}lead-assignments", twice)
    async with running(settings) as client:
        await eventually(lambda: lead_states(client, {"total": 1, "assigned": 0, "unaccounted": 1}))
        assert (await client.json("/v1/ledger"))["assignments"]["active"] == 2


async def test_assignments_still_in_the_outbox_are_unpublished(settings: Settings) -> None:
    change(
        settings,
        "INSERT INTO routing.outbox (topic, key, ce_id, headers, value) "
        "SELECT topic, 'k', 'c' || n, '', '' FROM (VALUES ('lead-assignments', 1), ('lead-assignments', 2), "
        "('lead-decisions', 3)) AS waiting (topic, n)",
    )
    async with running(settings) as client:
        assert (await client.json("/v1/ledger"))["assignments"]["unpublished"] == 2


async def test_only_the_holder_of_the_lease_exports_and_the_other_takes_over_when_it_is_killed(
    settings: Settings,
) -> None:
    play = Play(ZoneInfo(settings.timezone), seed=14).leads(20)
    with replica(settings, "a") as first:
        await eventually(lambda: exports(first.client), deadline=60)
        with replica(settings, "b") as second:
            await eventually(second.client.ready, deadline=60)
            await asyncio.to_thread(play.publish, settings)
            await eventually(lambda: exported_leads(first.client, 20), deadline=60)
            assert not await exports(second.client)
            first.kill()
            await eventually(lambda: exported_leads(second.client, 20), deadline=60)
            series = await second.client.series()
            assert series["funnel_orders_won_total", ()] == play.expected.kpis["orders_won"]
            assert series["funnel_revenue", (("currency", "JPY"),)] == play.expected.revenue


async def test_a_replica_that_lost_the_lease_exports_nothing(settings: Settings) -> None:
    async with running(settings) as client:
        await eventually(lambda: exports(client))
        change(
            settings,
            "UPDATE metrics.position SET owner = 'somebody else', epoch = epoch + 1, "
            "lease_until = clock_timestamp() + interval '1 h' WHERE topic = '#kpis'",
        )
        await eventually(lambda: is_silent(client))


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"from": "2026-02-30"}, "from"),
        ({"by": "year"}, "by"),
        ({"dimension": "rep"}, "dimension"),
        ({"from": "2026-02-02", "to": "2026-02-01"}, "from"),
        ({"from": "1900-01-01", "to": "2026-01-01", "by": "day"}, "by"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_a_problem_naming_the_parameter(
    settings: Settings, query: dict[str, str], parameter: str
) -> None:
    async with running(settings) as client:
        answer = await client.get("/v1/kpis", **query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert parameter in [error["parameter"].rpartition(".")[2] for error in answer.json()["errors"]]


async def test_the_console_page_shows_the_numbers_and_loads_nothing_from_elsewhere(settings: Settings) -> None:
    play = Play(ZoneInfo(settings.timezone), seed=15).leads(10)
    play.publish(settings)
    async with running(settings) as client:
        await eventually(lambda: lead_states(client, {"total": 10, "unaccounted": 0}))
        page = (await client.get("/")).text
    assert "Nothing is unaccounted." in page
    assert f"<td>Leads</td><td>0</td><td>{play.expected.kpis['leads']}</td>" in page
    assert "http://" not in page
    assert "<script" not in page


async def equals(client: Client, expected: dict[str, Any]) -> bool:
    assert await client.json("/v1/ledger") == expected
    return True


async def lead_states(client: Client, expected: dict[str, int]) -> bool:
    leads = (await client.json("/v1/ledger"))["leads"]
    assert {name: leads[name] for name in expected} == expected
    return True


async def nothing_waits(client: Client, service: str) -> bool:
    waiting = {key: count for key, count in (await client.lags()).items() if key[0] == service}
    assert waiting
    assert not any(waiting.values()), waiting
    return True


async def scoring_lag_ages(client: Client) -> bool:
    """Every partition in which scoring has something to read tells how old it is."""
    series = await client.series()
    told = {labels: value for (name, labels), value in series.items() if name == "funnel_lag_seconds"}
    waiting = [
        labels
        for (name, labels), value in series.items()
        if name == "funnel_lag_records" and value and ("service", "scoring") in labels
    ]
    return bool(waiting) and all(0 < told.get(labels, 0) < 3600 for labels in waiting)


async def exported_unaccounted(client: Client, kind: str) -> bool:
    return (await client.series()).get(("funnel_unaccounted", (("kind", kind),)), 0) > 0


async def exported_leads(client: Client, count: int) -> bool:
    return (await client.series()).get(("funnel_leads", ())) == count


async def exports(client: Client) -> bool:
    return await client.ready() and ("funnel_visits_total", ()) in await client.series()


async def is_silent(client: Client) -> bool:
    names = {name for name, _ in await client.series()}
    return not names & {"funnel_leads", "funnel_visits_total", "funnel_unaccounted"}


def change(settings: Settings, statement: str) -> None:
    with psycopg.connect(settings.postgres_dsn) as connection:
        connection.execute(statement.encode())
