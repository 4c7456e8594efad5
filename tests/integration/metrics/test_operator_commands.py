"""The operator's commands against the real log and database: ledger, quarantine, position, tail."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from funnel.settings import Settings
from tests.integration.metrics.funnel_play import Play, record_of
from tests.integration.metrics.services import Client, Witness, running, witnessing
from tests.support import eventually
from tests.support.kafka import Record, produce
from tests.unit.metrics.records import event, score

RUN = "from funnel.cli import main; main()"


def environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "FUNNEL_HOME": str(settings.home),
        "FUNNEL_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "FUNNEL_POSTGRES_DSN": settings.postgres_dsn,
        "FUNNEL_TOPIC_PREFIX": settings.topic_prefix,
        "FUNNEL_METRICS_PORT": str(settings.metrics_port),
        "FUNNEL_WAIVE_REPLICATION": "true",
    }


async def funnel(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, while this one goes on serving."""
    command = [sys.executable, "-c", RUN, *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, env=environment(settings), capture_output=True, text=True, timeout=120
    )


async def told(settings: Settings, *arguments: str) -> Any:
    """The JSON a command prints."""
    done = await funnel(settings, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_the_ledger_command_prints_what_the_service_says_and_can_fail_a_script(settings: Settings) -> None:
    Play(ZoneInfo(settings.timezone), seed=21).leads(5).publish(settings)
    async with running(settings) as client:
        await eventually(lambda: knows_leads(client, 5))
        assert await told(settings, "ledger") == await client.json("/v1/ledger")
        table = await funnel(settings, "ledger", "--check")
        assert (table.returncode, "in flight" in table.stdout) == (0, True)
        change_one_lead(settings)
        assert (await funnel(settings, "ledger", "--check")).returncode == 2


async def test_without_the_service_the_ledger_command_says_so_in_one_sentence(settings: Settings) -> None:
    done = await funnel(settings, "ledger")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "does not answer" in done.stderr


async def test_a_quarantined_record_is_listed_shown_masked_and_applied_once_by_replays(settings: Settings) -> None:
    bad = event("form.submitted", event_id="bad", properties={"secret": "taro@example.com"})
    produce(settings.kafka_bootstrap, f"{settings.topic_prefix}lead-events", [record_of("lead-events", bad)])
    async with running(settings) as client:
        async with witnessing(settings, Witness("scoring", "lead-events", rejects=frozenset({"bad"}))):
            await eventually(lambda: ledger_counts(client, quarantined=1, applied=0))
        [listed] = await told(settings, "quarantine", "list")
        assert (listed["service"], listed["event_id"], listed["reason"]) == ("scoring", "bad", "planted")
        number = str(listed["id"])
        shown = await told(settings, "quarantine", "show", "scoring", number)
        assert shown["value"]["type"] == "form.submitted"
        assert "taro" not in json.dumps(shown)
        assert "taro" in json.dumps(await told(settings, "quarantine", "show", "scoring", number, "--unmasked"))
        async with witnessing(settings, Witness("scoring", "lead-events")):
            for _ in range(2):
                assert (await funnel(settings, "quarantine", "replay", "scoring", number)).returncode == 0
            await eventually(lambda: ledger_counts(client, quarantined=1, applied=1, duplicates=1, unaccounted=0))
        assert await told(settings, "quarantine", "list") == []
        assert [one["id"] for one in await told(settings, "quarantine", "list", "--all")] == [listed["id"]]
        assert (await client.json("/v1/kpis"))["total"]["events"] == 1


async def test_an_unknown_quarantine_id_is_one_sentence(settings: Settings) -> None:
    done = await funnel(settings, "quarantine", "show", "routing", "77")
    assert (done.returncode, done.stderr) == (1, "There is no record 77 in quarantine.\n")


async def test_a_skipped_record_is_never_applied_and_stays_in_the_ledger(settings: Settings) -> None:
    topic = f"{settings.topic_prefix}lead-events"
    records = [record_of("lead-events", event(event_id=f"e-{n}")) for n in range(6)]
    produce(settings.kafka_bootstrap, topic, [Record(r.value, r.key, r.headers, partition=0) for r in records[:2]])
    async with running(settings) as client:
        async with witnessing(settings, Witness("scoring", "lead-events")):
            await eventually(lambda: ledger_counts(client, applied=2))
        produce(settings.kafka_bootstrap, topic, [Record(r.value, r.key, r.headers, partition=0) for r in records[2:]])
        refused = await funnel(settings, "position", "skip", "scoring", "lead-events", "0", "--to", "7", "--yes")
        assert (refused.returncode, "ends at 6" in refused.stderr) == (1, True)
        unasked = await funnel(settings, "position", "skip", "scoring", "lead-events", "0", "--to", "3")
        assert unasked.returncode == 1
        done = await funnel(settings, "position", "skip", "scoring", "lead-events", "0", "--to", "3", "--yes")
        assert done.returncode == 0, done.stderr
        async with witnessing(settings, Witness("scoring", "lead-events")):
            await eventually(lambda: ledger_counts(client, accepted=5, applied=5, skipped=1, unaccounted=0))
    rows = await told(settings, "position", "show", "--service", "scoring")
    [row] = [one for one in rows if one["partition"] == 0]
    assert (row["next"], row["applied"], row["skipped"], row["lag"], row["owner"]) == (6, 5, 1, 0, None)


async def test_tail_prints_the_newest_records_with_headers_and_without_personal_data(settings: Settings) -> None:
    topic = f"{settings.topic_prefix}lead-scores"
    records = [
        record_of("lead-scores", score(n, lead_id=f"lead-{n}", message="call taro@example.com")) for n in range(1, 8)
    ]
    for record in records:
        produce(settings.kafka_bootstrap, topic, [record])
    done = await funnel(settings, "tail", "lead-scores", "-n", "3", "--json")
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["value"]["lead_id"] for one in shown] == ["lead-5", "lead-6", "lead-7"]
    assert shown[0]["headers"]["ce_id"] == "lead-5:5"
    assert "taro" not in done.stdout
    assert "taro" in (await funnel(settings, "tail", "lead-scores", "-n", "1", "--unmasked")).stdout


async def test_tail_follows_until_it_is_interrupted(settings: Settings) -> None:
    topic = f"{settings.topic_prefix}lead-events"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        *("tail", "lead-events", "-n", "1", "--follow", "--json"),
        env={**environment(settings), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    produce(settings.kafka_bootstrap, topic, [Record(b"not json", b"taro@example.com")])
    first = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert (first["key"], first["value"]) == ("***", "*** (8 bytes that are not JSON)")
    produce(settings.kafka_bootstrap, topic, [record_of("lead-events", event(event_id="later"))])
    assert json.loads(await asyncio.wait_for(process.stdout.readline(), 60))["value"]["event_id"] == "later"
    process.terminate()
    await process.wait()


async def test_a_topic_nobody_declared_is_one_sentence(settings: Settings) -> None:
    done = await funnel(settings, "tail", "lead-dreams")
    assert (done.returncode, done.stderr.startswith("There is no topic lead-dreams; known are ")) == (1, True)


async def knows_leads(client: Client, count: int) -> bool:
    return bool((await client.json("/v1/ledger"))["leads"]["total"] == count)


async def ledger_counts(client: Client, **expected: int) -> bool:
    events = (await client.json("/v1/ledger"))["events"]
    assert {name: events[name] for name in expected} == expected
    return True


def change_one_lead(settings: Settings) -> None:
    """Plant a lead that is in no state."""
    with psycopg.connect(settings.postgres_dsn) as connection:
        connection.execute(
            "UPDATE metrics.lead SET state = NULL WHERE lead_id = (SELECT lead_id FROM metrics.lead LIMIT 1)"
        )
