"""`funnel audit`: one full pass, what it finds, and what a person accepts."""

from __future__ import annotations

import json
from typing import Any

from funnel.settings import Settings
from tests.integration.audit.world import LEADS, PATIENCE, World, world
from tests.integration.metrics.test_operator_commands import funnel
from tests.support import eventually


async def audited(settings: Settings, *arguments: str, code: int) -> Any:
    """What `funnel audit --json` prints, and that it ends with `code`."""
    done = await funnel(settings, "audit", *arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def lose(world: World, event_id: str) -> None:
    world.change("DELETE FROM scoring.inbox WHERE event_id = %s", event_id)


async def test_a_pass_finds_what_was_lost_and_a_person_accepts_it(settings: Settings) -> None:
    async with world(settings) as found:
        clean = await audited(settings, code=0)
        assert (clean["findings"], clean["undecided"], clean["leads"]) == ([], 0, LEADS)
        topics = ("lead-events", "lead-scores", "lead-assignments", "lead-decisions", "lead-outcomes")
        assert clean["records"] == sum(len(found.records(topic)) for topic in topics)

        lose(found, "e-0")
        lose(found, "e-1")
        report = await audited(settings, code=1)
        assert [one["kind"] for one in report["findings"]] == ["effects_lost"] * 2
        assert "e-0" not in json.dumps(report)
        first, second = (str(one["id"]) for one in report["findings"])
        await eventually(lambda: found.shows("effects_lost"), PATIENCE)

        assert (await funnel(settings, "audit", "accept", first, "--note", " ")).returncode == 1
        assert (await funnel(settings, "audit", "accept", first, "99", "--note", "sent again")).returncode == 1
        assert len((await audited(settings, code=1))["findings"]) == 2
        assert (await funnel(settings, "audit", "accept", first, second, "--note", "sent again")).returncode == 0
        assert (await audited(settings, code=0))["findings"] == []
        await eventually(lambda: found.shows(), PATIENCE)
        listed = await funnel(settings, "audit", "list", "--all", "--json")
        assert [one["note"] for one in json.loads(listed.stdout)] == ["sent again"] * 2


async def test_what_heals_is_gone_by_itself(settings: Settings) -> None:
    rep = "UPDATE routing.assignment SET rep = %s WHERE status = 'closed'"
    async with world(settings) as found:
        ((before,),) = found.rows("SELECT rep FROM routing.assignment WHERE status = 'closed'")
        found.change(rep, "z")
        assert [one["kind"] for one in (await audited(settings, code=1))["findings"]] == ["assignments_differ"] * 2
        found.change(rep, before)
        assert (await audited(settings, code=0))["findings"] == []
        await eventually(lambda: found.shows(), PATIENCE)


async def test_a_kind_of_the_ledger_is_accepted_by_number(settings: Settings) -> None:
    async with world(settings) as found:
        found.change("INSERT INTO ingest.spool_account (replica, topic, spooled) VALUES ('gone', 'lead-events', 3)")
        report = await audited(settings, code=1)
        assert {kind: count for kind, count in report["ledger"].items() if count} == {"events": 3, "events_answered": 3}
        kinds = ("events", "events_answered")
        assert (await funnel(settings, "audit", "accept", *kinds, "--note", "told")).returncode == 0
        assert not any((await audited(settings, code=0))["ledger"].values())
        await eventually(lambda: _all_is_well(found), PATIENCE)
        assert (await funnel(settings, "audit", "accept", "leads", "--note", "no")).returncode == 1
        assert (await funnel(settings, "audit", "accept", "events", "--note", "again")).returncode == 1


async def test_without_metrics_what_it_witnesses_is_not_decided(settings: Settings) -> None:
    async with world(settings):
        pass
    report = await audited(settings, code=2)
    assert (report["ledger"], report["findings"], report["undecided"]) == (None, [], 0)


async def _all_is_well(world: World) -> bool:
    return await world.unaccounted() == {}
