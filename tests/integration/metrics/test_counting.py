"""Whatever is repeated, redelivered, restarted or killed: everything is counted once."""

from __future__ import annotations

import asyncio
from zoneinfo import ZoneInfo

import psycopg

from funnel.settings import Settings
from tests.integration.metrics.funnel_play import Expected, Play, recounted
from tests.integration.metrics.services import Client, replica, running
from tests.support import eventually
from tests.support.kafka import read_all

KPIS = (
    "leads",
    "visits",
    "document_requests",
    "appointments",
    "opportunities",
    "orders_won",
    "orders_cancelled",
    "lost",
)


def play_of(settings: Settings, seed: int, leads: int) -> Play:
    return Play(ZoneInfo(settings.timezone), seed).leads(leads)


async def counted(client: Client, *expected: Expected) -> bool:
    """Whether the service tells exactly the hand count."""
    total = (await client.json("/v1/kpis"))["total"]
    for kpi in KPIS:
        assert total[kpi] == sum(one.kpis[kpi] for one in expected), kpi
    assert total["revenue"]["JPY"] == str(sum(one.revenue for one in expected))
    return True


async def test_the_kpis_equal_a_hand_count_per_month_and_per_origin(settings: Settings) -> None:
    play = play_of(settings, seed=1, leads=60)
    play.publish(settings)
    async with running(settings) as client:
        await eventually(lambda: counted(client, play.expected))
        months = (await client.json("/v1/kpis", by="month"))["periods"]
        told = {(one["start"][:7], kpi): one[kpi] for one in months for kpi in KPIS if one[kpi]}
        assert told == dict(play.expected.by_month)
        split = (await client.json("/v1/kpis", by="quarter", dimension="origin"))["periods"]
        by_origin: dict[tuple[str, str], int] = {}
        for one in split:
            for kpi in KPIS:
                if one[kpi]:
                    by_origin[one["origin"], kpi] = by_origin.get((one["origin"], kpi), 0) + one[kpi]
        assert by_origin == dict(play.expected.by_origin)


async def test_a_restart_and_a_redelivery_of_everything_change_no_number(settings: Settings) -> None:
    play = play_of(settings, seed=2, leads=40)
    play.publish(settings)
    async with running(settings) as client:
        await eventually(lambda: counted(client, play.expected))
    _rewind(settings)
    async with running(settings) as client:
        await eventually(lambda: _caught_up(settings))
        assert await counted(client, play.expected)
        ledger = await client.json("/v1/ledger")
    assert {state: ledger["leads"][state] for state in play.expected.states} == dict(play.expected.states)
    assert ledger["assignments"]["published"] == play.expected.assignment_records


async def test_outcomes_read_before_their_lead_move_to_its_origin_and_the_state_is_the_same(settings: Settings) -> None:
    play = play_of(settings, seed=3, leads=40)
    async with running(settings) as client:
        play.publish(settings, ["lead-decisions"])
        await eventually(lambda: _caught_up(settings))
        play.publish(settings, ["lead-assignments"])
        await eventually(lambda: _caught_up(settings))
        play.publish(settings, ["lead-scores", "lead-events"])
        await eventually(lambda: counted(client, play.expected))
        split = (await client.json("/v1/kpis", by="quarter", dimension="origin"))["periods"]
        assert {one["origin"] for one in split if any(one[kpi] for kpi in KPIS)} == {
            o for o, _ in play.expected.by_origin
        }
        leads = (await client.json("/v1/ledger"))["leads"]
        assert {state: leads[state] for state in play.expected.states} == dict(play.expected.states)


async def test_two_replicas_one_of_them_killed_agree_with_a_recount(settings: Settings) -> None:
    plays = [play_of(settings, seed, leads=60) for seed in (4, 5, 6)]
    with replica(settings, "a") as first, replica(settings, "b") as second:
        await eventually(lambda: _shared(settings), deadline=60)
        await asyncio.to_thread(plays[0].publish, settings)
        await asyncio.to_thread(plays[1].publish, settings)
        first.kill()
        await asyncio.to_thread(plays[2].publish, settings)
        await eventually(lambda: counted(second.client, *(play.expected for play in plays)), deadline=60)
        with replica(settings, "c") as third:
            await eventually(third.client.ready, deadline=60)
            assert await counted(third.client, *(play.expected for play in plays))
    truth = await asyncio.to_thread(recounted, settings)
    assert {kpi: truth[kpi] for kpi in KPIS} == {kpi: sum(p.expected.kpis[kpi] for p in plays) for kpi in KPIS}


def _rewind(settings: Settings) -> None:
    """Everything is delivered again, as after a restored position."""
    with psycopg.connect(settings.postgres_dsn) as connection:
        connection.execute("UPDATE metrics.position SET next = first, last_ce_id = NULL WHERE next IS NOT NULL")


def _caught_up(settings: Settings) -> bool:
    with psycopg.connect(settings.postgres_dsn) as connection:
        rows = connection.execute("SELECT topic, sum(next) FROM metrics.position WHERE next IS NOT NULL GROUP BY topic")
        reached: dict[str, int] = dict(rows.fetchall())
    return all(
        reached.get(topic) == len(read_all(settings.kafka_bootstrap, settings.topic_prefix + topic))
        for topic in ("lead-events", "lead-scores", "lead-assignments", "lead-decisions")
    )


def _shared(settings: Settings) -> bool:
    """Whether both replicas hold partitions."""
    with psycopg.connect(settings.postgres_dsn) as connection:
        found = connection.execute("SELECT count(DISTINCT owner) FROM metrics.position WHERE topic = 'lead-events'")
        return found.fetchone() == (2,)
