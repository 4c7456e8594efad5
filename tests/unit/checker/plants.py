"""Violations to plant: each spoils one thing in a correct history, and names all that may be found then."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.unit.checker.world import World

Json = dict[str, Any]
Spoil = Callable[[World], object]

PLANTS: dict[str, tuple[Spoil, set[tuple[str, str]]]] = {}


def plant(*expected: tuple[str, str]) -> Callable[[Spoil], Spoil]:
    """Register what spoils a history, with the (invariant, category) pairs it must be found as."""

    def add(spoil: Spoil) -> Spoil:
        PLANTS[spoil.__name__] = (spoil, set(expected))
        return spoil

    return add


def moved(world: World, service: str, topic: str, source: str, target: str) -> None:
    """Let a service count one record as something else, in its position and in the ledger."""
    row = next(row for row in world.tables[f"{service}.position"] if row["topic"] == topic and row[source] > 0)
    row[source] -= 1
    row[target] += 1
    kind = {"lead-events": "events", "lead-outcomes": "outcomes"}.get(topic)
    if kind and service != "metrics":
        world.metrics["ledger"][kind][source] -= 1
        world.metrics["ledger"][kind][target] += 1


def fault(world: World, begin: float, end: float, what: str = "kill broker") -> None:
    """A fault from `begin` to `end`, in seconds after the first sample."""
    start = world.samples[0]["at"]
    for at, phase in ((begin, "inject"), (end, "heal")):
        world.faults.append({"at": start + at, "row": 7, "what": what, "phase": phase, "detail": ""})


def failover(world: World) -> None:
    """A standby that lacks the newest commits takes over between the first two samples and the last."""
    world.samples[1]["positions"][0]["next"] = world.samples[2]["positions"][0]["next"] + 1
    fault(world, 6, 7, "failover to the asynchronous standby")


# -- what clients were told ------------------------------------------------------------------------------------------


@plant(("I1", "lost"))
def answered_and_nowhere(world: World) -> None:
    world.answers.append({**world.answers[0], "event_id": "gone", "answer_id": "gone"})


@plant(("I11", "lost"))
def answered_during_a_fault_and_nowhere(world: World) -> None:
    fault(world, 1, 4)
    at = world.samples[0]["at"] + 2
    world.answers.append({**world.answers[0], "event_id": "gone", "answer_id": "gone", "answered_at": at})


@plant(("I1", "lost"))
def a_lost_duplicate_answer(world: World) -> None:
    world.answers.append({**world.answers[0], "event_id": "gone", "answer_id": "gone", "result": "duplicate"})


@plant(("I1", "lost"))
def an_outcome_answered_and_nowhere(world: World) -> None:
    world.answers.append({**world.answers[-1], "event_id": "gone", "answer_id": "gone"})


@plant(("I1", "aborted-read"))
def refused_and_stored(world: World) -> None:
    for answer in world.answers:
        if answer["person"] == "lead7@example.com":
            answer |= {"status": 422, "result": "invalid"}


@plant(("I1", "aborted-read"))
def stored_and_never_sent(world: World) -> None:
    world.answers = [answer for answer in world.answers if answer["person"] != "silent@example.com"]


@plant(("I1", "diverged"))
def answered_under_another_id(world: World) -> None:
    world.answers[0]["answer_id"] = "another"


@plant(("I1", "lost"))
def taken_out_of_the_spool(world: World) -> None:
    world.tables["ingest.spool_account"][0]["spooled"] += 1


@plant(("I1", "unaccounted"), ("I9", "stuck"))
def in_the_spool_and_not_in_its_account(world: World) -> None:
    packed = "\\x" + json.dumps(world.topics["lead-events"][0]["value"]).encode().hex()
    world.tables["ingest.spool"].append({"topic": "lead-events", "value": packed})


# -- what services made of it ----------------------------------------------------------------------------------------


@plant(("I1", "lost"))
def passed_and_not_applied(world: World) -> None:
    world.take("metrics.inbox", source="web")
    moved(world, "metrics", "lead-events", "applied", "duplicates")


@plant(("I1", "unaccounted"))
def taken_away_and_not_given_up(world: World) -> None:
    world.losses = [{"service": "scoring", "topic": "lead-events", "partition": 0}]


@plant(("I1", "lost"))
def a_suspect_passed_over(world: World) -> None:
    (suspect,) = [record for record in world.topics["lead-events"] if "ce_suspect" in record["headers"]]
    world.take("scoring.quarantine", event_id=suspect["headers"]["ce_id"])
    moved(world, "scoring", "lead-events", "quarantined", "duplicates")


@plant(("I2", "duplicated"))
def two_bodies_of_one_id_taken(world: World) -> None:
    world.take("scoring.quarantine", event_id=world.answers[0]["event_id"])
    moved(world, "scoring", "lead-events", "quarantined", "duplicates")


@plant(("I1", "diverged"))
def another_body_applied(world: World) -> None:
    world.tables["scoring.inbox"][-1]["hash"] = "\\x" + "0" * 32


@plant(("I1", "lost"))
def a_log_cut_short(world: World) -> None:
    world.bounds["lead-outcomes"]["0"][1] -= 1


@plant(("I1", "diverged"))
def a_log_made_anew(world: World) -> None:
    world.tables["scoring.position"][0]["last_ce_id"] = "another"


@plant(("I2", "duplicated"))
def applied_twice(world: World) -> None:
    moved(world, "scoring", "lead-events", "duplicates", "applied")


@plant(("I8", "unaccounted"))
def applied_less_often_than_marked(world: World) -> None:
    moved(world, "scoring", "lead-events", "applied", "duplicates")


@plant(("I2", "aborted-read"))
def applied_and_on_no_topic(world: World) -> None:
    world.tables["scoring.inbox"].append({"source": "web", "event_id": "ghost", "hash": "\\x" + "0" * 32})
    world.tables["scoring.touch"].append({"subject": "", "source": "web", "event_id": "ghost"})
    moved(world, "scoring", "lead-events", "duplicates", "applied")


@plant(("I2", "duplicated"))
def a_touch_twice(world: World) -> None:
    world.tables["scoring.touch"].append(world.tables["scoring.touch"][0])


@plant(("I2", "lost"))
def a_touch_missing(world: World) -> None:
    world.tables["scoring.touch"].pop()


@plant(("I2", "aborted-read"))
def a_touch_of_nothing(world: World) -> None:
    world.tables["scoring.touch"].append({"subject": "", "source": "web", "event_id": "ghost"})


@plant(("I2", "lost"))
def an_outcome_forgotten(world: World) -> None:
    world.tables["routing.waiting_outcome"].clear()


@plant(("I2", "duplicated"))
def an_outcome_that_waits_although_it_was_applied(world: World) -> None:
    applied = world.row("routing.decision", kind="outcome.applied")
    world.tables["routing.waiting_outcome"].append({name: applied[name] for name in ("source", "event_id")})


@plant(("I2", "aborted-read"))
def an_outcome_nobody_reported(world: World) -> None:
    world.tables["routing.waiting_outcome"].append({"source": "crm", "event_id": "ghost"})


@plant(("I2", "duplicated"), ("I4", "lost"))
def an_outcome_decided_twice(world: World) -> None:
    decision = world.row("routing.decision", kind="outcome.applied")
    world.tables["routing.decision"].append({**decision, "decision_id": "again", "number": None, "pool": None})


# -- assignments -----------------------------------------------------------------------------------------------------


def assigned_lead(world: World) -> Json:
    """A lead that is with a rep."""
    return world.row("routing.lead", state="assigned")


@plant(("I2", "duplicated"), ("I4", "lost"), ("I7", "unaccounted"), ("I8", "unaccounted"))
def two_active_assignments(world: World) -> None:
    lead = assigned_lead(world)
    row = world.row("routing.assignment", lead_id=lead["lead_id"], status="active")
    lead["epoch"] += 1
    world.tables["routing.assignment"].append({**row, "assignment_id": "second", "epoch": lead["epoch"]})


@plant(("I2", "duplicated"), ("I4", "aborted-read"))
def a_copy_under_another_assignment_id(world: World) -> None:
    record = world.topics["lead-assignments"][-1]
    copy = world.add_record("lead-assignments", record, assignment_id="another")
    copy["headers"] = {"ce_source": "routing", "ce_id": f"another:{record['value']['status']}"}
    position = world.row("metrics.position", topic="lead-assignments", partition=record["partition"])
    position |= {"applied": position["applied"] + 1, "duplicates": position["duplicates"] - 1}
    position["last_ce_id"] = copy["headers"]["ce_id"]
    world.tables["metrics.inbox"].append(
        {"source": "routing", "event_id": copy["headers"]["ce_id"], "hash": "\\x" + "0" * 32}
    )
    counted = "assignments_started" if record["value"]["status"] == "assigned" else "assignments_ended"
    world.row("metrics.lead", lead_id=record["value"]["lead_id"])[counted] += 1
    world.metrics["ledger"]["assignments"]["published"] += 1


@plant(("I2", "lost"), ("I4", "aborted-read"))
def an_assignment_row_deleted(world: World) -> None:
    world.take("routing.assignment", status="revoked")


@plant(("I2", "diverged"))
def a_lead_with_another_owner_than_its_assignment(world: World) -> None:
    lead = assigned_lead(world)
    lead["rep"] = "rep-1" if lead["rep"] == "rep-0" else "rep-0"


@plant(("I2", "aborted-read"), ("I2", "diverged"))
def an_epoch_beyond_the_leads(world: World) -> None:
    assigned_lead(world)["epoch"] -= 1


@plant(("I2", "aborted-read"), ("I2", "lost"), ("I4", "diverged"))
def an_assignment_of_nobody(world: World) -> None:
    world.row("routing.assignment", status="closed")["lead_id"] = "nobody"


@plant(("I4", "diverged"))
def the_topic_names_another_rep(world: World) -> None:
    record = world.topics["lead-assignments"][1]
    record["value"]["rep"] = {"id": "somebody"}


@plant(("I4", "aborted-read"), ("I9", "stuck"))
def an_end_that_was_not_committed(world: World) -> None:
    record = world.record("lead-assignments", status="closed")
    row = world.row("routing.assignment", assignment_id=record["value"]["assignment_id"])
    row["status"] = "revoked"
    ce_id = f"{row['assignment_id']}:revoked"
    world.tables["routing.outbox"].append({"topic": "lead-assignments", "ce_id": ce_id, "value": "\\x7b7d"})
    world.metrics["ledger"]["assignments"]["unpublished"] += 1


@plant(("I4", "aborted-read"))
def an_assignment_version_above_the_table(world: World) -> None:
    assigned_lead(world)["version"] = 0


# -- leads -----------------------------------------------------------------------------------------------------------


@plant(("I3", "lost"))
def a_person_who_is_no_lead(world: World) -> None:
    world.take("scoring.identifier", value="lead7@example.com")


@plant(("I3", "lost"))
def a_score_that_routing_passed_over(world: World) -> None:
    world.row("routing.lead", stage="mql")["score_version"] -= 1


@plant(("I3", "aborted-read"))
def a_score_that_routing_never_read(world: World) -> None:
    assigned_lead(world)["score_version"] += 1


@plant(("I3", "lost"))
def a_qualified_lead_held_for_no_reason(world: World) -> None:
    world.row("routing.lead", state="held")["held_reason"] = None


@plant(("I3", "lost"), ("I8", "unaccounted"))
def a_qualified_lead_forgotten(world: World) -> None:
    lead = world.row("routing.lead", state="held")
    lead |= {"state": "nurturing", "held_reason": None, "qualified_at": None}


@plant(("I3", "aborted-read"))
def a_lead_held_that_never_qualified(world: World) -> None:
    lead = world.row("routing.lead", state="held")
    for record in world.topics["lead-scores"]:
        if record["value"]["lead_id"] == lead["lead_id"]:
            record["value"]["qualified"] = False


# -- scores and decisions --------------------------------------------------------------------------------------------


@plant(("I4", "aborted-read"))
def a_score_that_was_not_committed(world: World) -> None:
    world.tables["scoring.lead"][0]["version"] -= 1


@plant(("I4", "lost"))
def a_score_never_published(world: World) -> None:
    world.tables["scoring.lead"][0]["version"] += 1


@plant(("I4", "lost"))
def a_decision_never_published(world: World) -> None:
    decision = world.row("routing.decision", kind="outcome.applied", pool=None)
    world.tables["routing.decision"].append(
        {**decision, "decision_id": "again", "kind": "breached", "version": 99, "event_id": "none"}
    )


@plant(("I4", "aborted-read"), ("I5", "lost"))
def a_decision_that_was_not_committed(world: World) -> None:
    world.take("routing.decision", kind="held")


@plant(("I4", "diverged"))
def a_decision_told_in_another_way(world: World) -> None:
    world.row("routing.decision", kind="held")["kind"] = "released"


@plant(("I4", "duplicated"))
def a_version_told_twice(world: World) -> None:
    first, second = two_of_a_lead(world, "lead-decisions")
    second["value"]["version"] = first["value"]["version"]
    world.row("routing.decision", decision_id=second["value"]["decision_id"])["version"] = first["value"]["version"]


def two_of_a_lead(world: World, topic: str) -> tuple[Json, Json]:
    """Two different records of a topic about the same lead, in their order."""
    seen: dict[str, Json] = {}
    for record in world.topics[topic]:
        lead = record["value"]["lead_id"]
        if lead in seen and seen[lead]["headers"] != record["headers"]:
            return seen[lead], record
        if lead:
            seen.setdefault(lead, record)
    raise AssertionError(f"no lead has two records on {topic}")


@plant(("I4", "diverged"))
def a_repeat_in_other_bytes(world: World) -> None:
    first = world.topics["lead-assignments"][0]
    copy = next(r for r in world.topics["lead-assignments"][1:] if r["headers"] == first["headers"])
    copy["sha256"] = "0" * 64


@plant(("I4", "aborted-read"))
def no_record_of_its_topic(world: World) -> None:
    """As a repeat of another id, so that all services take it for one."""
    record = world.topics["lead-assignments"][0]
    world.add_record("lead-assignments", record)["value"] = {"hello": "world"}


# -- order -----------------------------------------------------------------------------------------------------------


def swapped(world: World, topic: str, first: Json, second: Json) -> None:
    """Let two records of a partition change places."""
    assert first["partition"] == second["partition"]
    first["offset"], second["offset"] = second["offset"], first["offset"]
    ends = {r["partition"]: r for r in sorted(world.topics[topic], key=lambda r: int(r["offset"]))}
    for service in ("scoring", "routing", "metrics"):
        for row in world.tables[f"{service}.position"]:
            if row["topic"] == topic and row["partition"] in ends:
                row["last_ce_id"] = ends[row["partition"]]["headers"]["ce_id"]


@plant(("I5", "reordered"))
def scores_of_a_lead_swapped(world: World) -> None:
    swapped(world, "lead-scores", *two_of_a_lead(world, "lead-scores"))


@plant(("I5", "reordered"))
def assignments_of_a_lead_swapped(world: World) -> None:
    swapped(world, "lead-assignments", *two_of_a_lead(world, "lead-assignments"))


@plant(("I5", "reordered"))
def decisions_of_a_lead_swapped(world: World) -> None:
    swapped(world, "lead-decisions", *two_of_a_lead(world, "lead-decisions"))


@plant(("I5", "lost"))
def a_number_of_a_pool_missing(world: World) -> None:
    world.tables["routing.pool"][0]["decisions"] += 1


@plant(("I5", "aborted-read"))
def a_number_beyond_the_pools(world: World) -> None:
    world.tables["routing.pool"][0]["decisions"] -= 1


@plant(("I5", "lost"))
def a_number_given_up_without_a_failover(world: World) -> None:
    pool = world.tables["routing.pool"][0]
    pool["decisions"] += 1
    decision = world.row("routing.decision", kind="assigned")
    lost = {"decision_id": "lost", "kind": "lost", "number": pool["decisions"], "lead_id": None, "rep": None}
    world.tables["routing.decision"].append({**decision, **lost, "candidates": []})


@plant(("I5", "duplicated"))
def a_number_given_twice(world: World) -> None:
    decision = world.row("routing.decision", kind="assigned")
    world.tables["routing.decision"].append({**decision, "decision_id": "again"})


# -- reps ------------------------------------------------------------------------------------------------------------


@plant(("I7", "unaccounted"))
def a_load_counted_wrong(world: World) -> None:
    world.row("routing.rep", id="rep-0")["open"] -= 1


@plant(("I7", "aborted-read"))
def a_rep_who_does_not_exist(world: World) -> None:
    world.take("routing.rep", id="rep-0")


@plant(("I7", "overfull"))
def chosen_although_full(world: World) -> None:
    candidates = world.row("routing.decision", kind="assigned")["candidates"]
    candidates[0]["open"] = candidates[0]["capacity"]


@plant(("I7", "overfull"))
def chosen_although_passed_over(world: World) -> None:
    world.row("routing.decision", kind="assigned")["candidates"][0]["skipped"] = "inactive"


@plant(("I7", "overfull"))
def more_open_than_ever_allowed(world: World) -> None:
    for decision in world.tables["routing.decision"]:
        for candidate in decision["candidates"]:
            candidate |= {"capacity": 1, "open": 0}
    world.row("routing.rep", id="rep-0")["capacity"] = 1


# -- numbers ---------------------------------------------------------------------------------------------------------


@plant(("I8", "unaccounted"))
def a_record_passed_and_not_counted(world: World) -> None:
    world.row("metrics.position", topic="lead-scores")["duplicates"] += 1


@plant(("I8", "unaccounted"))
def a_hole_where_a_record_is(world: World) -> None:
    row = world.row("metrics.position", topic="ingest-receipts")
    row |= {"holes": 1, "duplicates": row["duplicates"] - 1}


@plant(("I8", "unaccounted"))
def more_in_quarantine_than_counted(world: World) -> None:
    row = world.row("metrics.quarantine")
    world.tables["metrics.quarantine"].append({**row, "record_offset": 9999})


@plant(("I8", "unaccounted"))
def a_total_too_high(world: World) -> None:
    world.row("metrics.tally", kpi="leads")["count"] += 1
    world.metrics["kpis"]["total"]["leads"] += 1


@plant(("I8", "unaccounted"))
def an_answer_that_is_not_the_tally(world: World) -> None:
    world.metrics["kpis"]["total"]["orders_won"] += 1


@plant(("I8", "unaccounted"))
def an_order_counted_twice(world: World) -> None:
    world.tables["metrics.counted_outcome"] *= 2


@plant(("I8", "unaccounted"))
def metrics_has_a_lead_elsewhere(world: World) -> None:
    world.row("metrics.lead", state="held")["state"] = "assigned"


@plant(("I8", "unaccounted"))
def metrics_counts_an_assignment_twice(world: World) -> None:
    world.row("metrics.lead", state="assigned")["assignments_started"] += 1


@plant(("I8", "unaccounted"))
def a_receipt_counted_twice(world: World) -> None:
    world.tables["metrics.answered"][0]["events"] += 1


@plant(("I8", "unaccounted"))
def a_ledger_that_does_not_add_up(world: World) -> None:
    world.metrics["ledger"]["events"]["accepted"] += 1


@plant(("I8", "unaccounted"))
def more_repeats_told_than_there_are(world: World) -> None:
    world.metrics["unaccounted"]["assignments_repeated"] = 2


@plant(("I8", "unaccounted"))
def a_ledger_that_misses_something(world: World) -> None:
    world.metrics["unaccounted"]["events"] = 1


# -- time ------------------------------------------------------------------------------------------------------------


@plant(("I9", "stuck"))
def a_record_nobody_read(world: World) -> None:
    receipt = world.topics["ingest-receipts"][-1]
    world.topics["ingest-receipts"].append({**receipt, "offset": receipt["offset"] + 1})
    world.bounds["ingest-receipts"]["0"][1] += 1


@plant(("I9", "stuck"))
def an_outbox_that_is_not_empty(world: World) -> None:
    record = world.topics["lead-scores"][-1]
    value = "\\x" + json.dumps(record["value"]).encode().hex()
    row = {"topic": "lead-scores", "ce_id": record["headers"]["ce_id"], "value": value}
    world.tables["scoring.outbox"].append(row)


@plant(("I9", "stuck"))
def metrics_that_does_not_answer(world: World) -> None:
    world.metrics = {"error": "refused"}


@plant(("I9", "stuck"))
def nothing_read_after_the_heal_although_there_is_something(world: World) -> None:
    fault(world, 1, 4)
    reached = {(p["service"], p["topic"], p["partition"]): p for p in world.samples[2]["positions"]}
    for sample in world.samples:
        sample["lag"] = {"scoring": 1}
        for place in sample["positions"]:
            place["next"] = reached[place["service"], place["topic"], place["partition"]]["next"]


@plant(("I9", "stuck"))
def nothing_read_after_the_heal_although_clients_ask(world: World) -> None:
    nothing_read_after_the_heal_although_there_is_something(world)
    for sample in world.samples:
        sample["lag"] = {"scoring": 0}


@plant(("I9", "stuck"))
def read_too_late_after_the_heal(world: World) -> None:
    fault(world, 1, 2)
    world.run["config"]["progress_seconds"] = 1


@plant(("I10", "backwards"))
def a_position_that_goes_back(world: World) -> None:
    place = world.samples[1]["positions"][0]
    place["next"] = world.samples[2]["positions"][0]["next"] + 1


@plant(("I10", "backwards"))
def an_epoch_that_goes_back(world: World) -> None:
    world.samples[1]["positions"][0]["epoch"] = 2


@plant(("I10", "backwards"))
def a_position_that_is_behind_in_the_end(world: World) -> None:
    world.samples[2]["positions"][0]["next"] += 1
