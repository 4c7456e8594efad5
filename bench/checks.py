"""Whether an output is right: nothing lost, nothing twice, in order. Pure; each function lists what is wrong.

An arm whose output is wrong has no rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import msgspec

from bench.intake_load import Answer
from bench.open_loop import ACCEPTED
from bench.spine_service import Result
from funnel.contracts import LeadAssignment, LeadScore

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Losses:
    """What a crash cost: events without effect, records that came twice, people whose state is wrong."""

    lost: int
    repeated: int
    wrong: int


def of_spine(results: Sequence[Result], people: int, each: int) -> Losses:
    """Results in the order of each person; every one of `people` sent events 1 to `each`."""
    final = {result.person: result for result in results}
    repeated = sum(count - 1 for count in Counter((result.person, result.applied) for result in results).values())
    right = sum(one.applied == each and one.last == each and not one.disorder for one in final.values())
    applied = sum(min(one.applied, each) for one in final.values())
    return Losses(people * each - applied, repeated, people - right)


def of_events(seen: Iterable[tuple[str, int]], people: int, each: int, totals: Mapping[str, int]) -> Losses:
    """One record per event (person, n) was expected; `totals` is how many events each person's state counts."""
    counts = Counter(seen)
    lost = people * each - len(counts)
    wrong = people - sum(total == each for total in totals.values())
    return Losses(lost, counts.total() - len(counts), wrong)


def problems_of(losses: Losses) -> list[str]:
    """What is wrong with an output of a run in which nothing was killed."""
    found = {
        "events had no effect": losses.lost,
        "results came twice": losses.repeated,
        "people have a wrong state": losses.wrong,
    }
    return [f"{count} {what}" for what, count in found.items() if count]


def of_touches(touches: Sequence[tuple[str, str]], expected: Set[tuple[str, str]]) -> list[str]:
    """Every event is kept, each once. A touch is (source, event_id)."""
    kept = set(touches)
    return [
        *_listed("events are missing", expected - kept),
        *_listed("events were never sent", kept - expected),
        *_listed("events were applied twice", [one for one, count in Counter(touches).items() if count > 1]),
    ]


def of_scores(scores: Sequence[LeadScore], leads: int, emails: Set[str]) -> list[str]:
    """Records in the order of each lead: versions without gap or repeat, one lead for each person."""
    final: dict[str, LeadScore] = {}
    disorder = []
    for score in scores:
        before = final.get(score.lead_id)
        if score.version != (before.version if before else 0) + 1:
            disorder.append(f"{score.lead_id} version {score.version}")
        final[score.lead_id] = score
    known = Counter(one.value for score in final.values() for one in score.identifiers if one.kind == "email")
    found = _listed("versions are not the next of their lead", disorder)
    found += _listed("addresses belong to no lead", emails - known.keys())
    found += _listed("addresses belong to two leads", [email for email, count in known.items() if count > 1])
    if len(final) != leads:
        found.append(f"{len(final)} leads, {leads} people gave their name")
    return found


def of_assignments(assignments: Sequence[LeadAssignment], qualified: Set[str]) -> list[str]:
    """Each qualified lead is assigned once, in epoch 1, and nobody else."""
    counts = Counter(one.lead_id for one in assignments)
    return [
        *_listed("qualified leads are not assigned", qualified - counts.keys()),
        *_listed("leads are assigned and not qualified", counts.keys() - qualified),
        *_listed("leads are assigned twice", [lead for lead, count in counts.items() if count > 1]),
        *_listed(
            "records are no first assignment",
            [one.assignment_id for one in assignments if one.status != "assigned" or one.epoch != 1],
        ),
    ]


def qualified(scores: Iterable[LeadScore]) -> set[str]:
    """Leads that qualified, at whatever version."""
    return {score.lead_id for score in scores if score.qualified}


def of_answers(answers: Sequence[Answer], posted: Sequence[Sequence[str]]) -> list[str]:
    """Each post is answered 202, naming its events in order as accepted; `posted` has the ids of each post."""
    refused = Counter(answer.status for answer in answers if answer.status != ACCEPTED)
    found = [f"{count} posts were answered {status}" for status, count in refused.items()]
    wrong = sum(
        answer.status == ACCEPTED and not _accepts(answer.body, ids)
        for answer, ids in zip(answers, posted, strict=True)
    )
    return [*found, f"{wrong} answers do not name what was posted"] if wrong else found


def _accepts(body: str, ids: Sequence[str]) -> bool:
    """Whether an answer is the contract's for one event, or for a batch."""
    told = msgspec.json.decode(body)
    if len(ids) == 1:
        return bool(told == {"event_id": ids[0], "status": "accepted"})
    expected = [{"index": index, "event_id": id_, "status": "accepted"} for index, id_ in enumerate(ids)]
    return [{name: part for name, part in one.items() if part is not None} for one in told["results"]] == expected


def of_stored(stored: Sequence[Mapping[str, Any]], posted: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each posted event is stored once, with all its parts; a service may add to it and write times its own way."""
    expected = {event["event_id"]: event for event in posted}
    counts = Counter(str(event.get("event_id")) for event in stored)
    changed = [
        id_
        for event in stored
        if (id_ := str(event.get("event_id"))) in expected
        and any(event.get(name) != part for name, part in expected[id_].items() if name != "occurred_at")
    ]
    return [
        *_listed("events are missing", expected.keys() - counts.keys()),
        *_listed("events were never posted", counts.keys() - expected.keys()),
        *_listed("events are stored twice", [id_ for id_, count in counts.items() if count > 1]),
        *_listed("events were changed", changed),
    ]


def _listed(what: str, which: Collection[Any]) -> list[str]:
    if not which:
        return []
    return [f"{len(which)} {what}, such as {', '.join(str(one) for one in sorted(which)[:_SHOWN])}"]
