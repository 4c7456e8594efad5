"""Each kind of violation, planted alone in a correct history, is found, and as nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chaos.checker import Finding, Verdict, check
from tests.unit.checker.plants import PLANTS, failover, fault, moved
from tests.unit.checker.world import Story, World


def rich() -> Story:
    """A story with everything in it: repeats, suspects, a reused id, held leads, every outcome, one that waits."""
    story = Story(reps=2)
    first = story.event("a@example.com", "page.viewed")
    story.event("a@example.com", "page.viewed", id_=first)
    story.event("a@example.com", "demo.requested", id_=first, body="another")
    story.event("spam@example.com", suspect=True)
    story.event("silent@example.com", "document.requested", answered=False)
    story.event("late@example.com", spooled=True)
    story.refused()
    for number in range(9):
        story.event(f"lead{number}@example.com", "demo.requested")
        story.event(f"lead{number}@example.com", "page.viewed")
    for number, type_ in enumerate(["accepted", "rejected", "won", "lost", "recycled", "disqualified"]):
        story.outcome(story.lead_id(f"lead{number}@example.com"), type_)
    for number in range(9, 13):
        story.event(f"lead{number}@example.com", "demo.requested")
    story.outcome(story.lead_id("lead0@example.com"), "contacted")
    story.outcome("nobody knows this lead", "accepted")
    story.receipt("p1", 1, 7)
    story.receipt("p1", 2, 5)
    story.receipt("p2", 1, 1)
    story.receipt("p2", 1, 1)
    story.repeat("lead-assignments", 0)
    return story


@pytest.fixture
def world() -> World:
    return rich().told()


def found(verdict: Verdict) -> set[tuple[str, str]]:
    return {(violation.invariant, violation.category.value) for violation in verdict.violations}


def test_a_correct_history_has_none(world: World, tmp_path: Path) -> None:
    verdict = check(world.write(tmp_path))
    assert verdict.violations == []
    assert verdict.counts["quarantined"] == 2
    assert verdict.counts["repeats_on_topic"] == 2
    assert verdict.counts["held"] > 0
    assert verdict.counts["assigned"] > 0
    assert {finding.says for finding in verdict.findings if not finding.checked} == {
        "A receiver sees each delivery, under one webhook-id",
        "After the last fault is over, work goes on in time",
        "As many records are counted as given up as were taken from the service unread",
        "An item answered with 202 while a fault was there is on its topic, or in the spool",
    }


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_violation_is_found_as_what_it_is(name: str, world: World, tmp_path: Path) -> None:
    spoil, expected = PLANTS[name]
    spoil(world)
    assert found(check(world.write(tmp_path))) == expected


def test_every_rule_was_seen_to_find_something(tmp_path: Path) -> None:
    """A rule that no plant sets off may be one that finds nothing, ever."""
    silent: set[str] = set()
    for index, (spoil, _) in enumerate(PLANTS.values()):
        world = rich().told()
        spoil(world)
        findings = check(world.write(tmp_path / str(index))).findings
        rules, found_by = {rule(one) for one in findings}, {rule(one) for one in findings if one.violations}
        silent = (silent or rules) - found_by
    assert silent == {"A receiver sees each delivery, under one webhook-id"}


def rule(finding: Finding) -> str:
    """What the finding is about, of whichever service."""
    return re.sub("scoring|routing|metrics", "a service", finding.says)


def test_a_failover_may_take_positions_back(world: World, tmp_path: Path) -> None:
    failover(world)
    assert check(world.write(tmp_path)).violations == []


def test_what_was_adopted_after_a_failover_is_no_violation(world: World, tmp_path: Path) -> None:
    failover(world)
    PLANTS["a_number_given_up_without_a_failover"][0](world)
    PLANTS["applied_less_often_than_marked"][0](world)
    PLANTS["more_open_than_ever_allowed"][0](world)
    assert check(world.write(tmp_path)).violations == []


def test_what_is_no_record_is_accounted_for_in_quarantine(world: World, tmp_path: Path) -> None:
    stranger = world.add_record("lead-assignments", world.topics["lead-assignments"][0])
    stranger |= {"value": None, "headers": {}, "sha256": "0" * 64}
    position = world.row("metrics.position", topic="lead-assignments", partition=stranger["partition"])
    position |= {"duplicates": position["duplicates"] - 1, "quarantined": position["quarantined"] + 1}
    position["last_ce_id"] = "a hash of its bytes"
    place = {"partition": stranger["partition"], "record_offset": stranger["offset"]}
    world.tables["metrics.quarantine"].append({"topic": "lead-assignments", **place})
    assert check(world.write(tmp_path)).violations == []


def test_without_anything_to_do_nothing_need_be_read(world: World, tmp_path: Path) -> None:
    PLANTS["nothing_read_after_the_heal_although_clients_ask"][0](world)
    for answer in world.answers:
        answer["sent_at"] = world.samples[0]["at"]
    assert check(world.write(tmp_path)).violations == []


def test_what_the_product_tells_of_repeats_and_reused_ids_is_no_loss(world: World, tmp_path: Path) -> None:
    world.metrics["unaccounted"] |= {"assignments_repeated": 1, "ids_reused": 1}
    assert check(world.write(tmp_path)).violations == []


def test_recovery_is_told_in_seconds(world: World, tmp_path: Path) -> None:
    fault(world, 1, 4)
    (told,) = check(world.write(tmp_path)).counts["recovery_seconds"]
    assert told == {"row": 7, "what": "kill broker", "at": world.samples[0]["at"] + 1, "seconds": 1.0}


def test_records_a_person_gave_up_are_not_lost(world: World, tmp_path: Path) -> None:
    record = world.record("ingest-receipts", process="p1")
    world.take("metrics.inbox", event_id=record["headers"]["ce_id"])
    row = world.row("metrics.position", topic="ingest-receipts")
    row |= {"applied": row["applied"] - 1, "skipped": 1}
    assert check(world.write(tmp_path)).violations == []
    row |= {"skipped": 0, "duplicates": row["duplicates"] + 1}
    assert found(check(world.write(tmp_path))) == {("I1", "lost")}


def test_what_the_log_forgot_is_known_by_its_effects(world: World, tmp_path: Path) -> None:
    for topic, records in world.topics.items():
        world.topics[topic] = [record for record in records if record["offset"] > 0]
        for bounds in world.bounds[topic].values():
            bounds[0] = min(1, bounds[1])
    lost = {v.what for v in check(world.write(tmp_path)).violations if v.category == "lost"}
    assert lost == set()


def test_a_suspect_that_the_log_forgot_is_known_by_the_quarantine(world: World, tmp_path: Path) -> None:
    (suspect,) = [record for record in world.topics["lead-events"] if "ce_suspect" in record["headers"]]
    forget(world, "lead-events", suspect["partition"], suspect["offset"] + 1)
    assert check(world.write(tmp_path)).violations == []
    for service in ("scoring", "metrics"):
        world.take(f"{service}.quarantine", event_id=suspect["headers"]["ce_id"])
        moved(world, service, "lead-events", "quarantined", "duplicates")
    assert found(check(world.write(tmp_path))) == {("I1", "lost")}


def test_what_was_taken_from_a_service_unread_has_to_be_given_up_exactly(world: World, tmp_path: Path) -> None:
    record = world.record("ingest-receipts", process="p1")
    forget(world, "ingest-receipts", record["partition"], record["offset"] + 1)
    world.take("metrics.inbox", event_id=record["headers"]["ce_id"])
    row = world.row("metrics.position", topic="ingest-receipts", partition=record["partition"])
    row |= {"applied": row["applied"] - 1, "skipped": 1}
    world.losses = [{"service": "metrics", "topic": "ingest-receipts", "partition": record["partition"]}]
    assert check(world.write(tmp_path)).violations == []
    row |= {"skipped": 0, "duplicates": row["duplicates"] + 1}
    assert ("I1", "unaccounted") in found(check(world.write(tmp_path)))
    row |= {"skipped": 2, "applied": row["applied"] - 1, "duplicates": row["duplicates"] - 1}
    assert ("I1", "lost") in found(check(world.write(tmp_path)))


def forget(world: World, topic: str, partition: int, begin: int) -> None:
    """Let the log of a partition begin at offset `begin`."""
    world.bounds[topic][str(partition)][0] = begin
    world.topics[topic] = [r for r in world.topics[topic] if r["partition"] != partition or r["offset"] >= begin]
