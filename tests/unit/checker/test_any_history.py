"""Any correct history has no violation, and with any one thing less or more it has some."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chaos.checker import Verdict, check
from chaos.checker.command import as_text
from tests.unit.checker.world import TOPICS, Story, World

Step = tuple[str, int, str, bool]

EVENTS = ("page.viewed", "document.requested", "demo.requested")
OUTCOMES = ("contacted", "rejected", "won", "lost", "recycled", "disqualified", "appointment.held")
PEOPLE = 6

steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(0, PEOPLE - 1), st.sampled_from(EVENTS), st.booleans()),
        st.tuples(st.just("outcome"), st.integers(0, PEOPLE - 1), st.sampled_from(OUTCOMES), st.booleans()),
        st.tuples(
            st.sampled_from(["suspect", "reused", "refused"]), st.integers(0, PEOPLE - 1), st.just(""), st.booleans()
        ),
    ),
    min_size=1,
    max_size=30,
)


def told(played: list[Step], reps: int) -> World:
    """What comes of the steps. A True in one lets it happen twice under one id."""
    story, number = Story(reps), 0
    for kind, person, type_, twice in played:
        number += 1
        email = f"person{person}@example.com"
        for body in ("1", "2" if kind == "reused" else "1")[: 1 + (twice or kind == "reused")]:
            if kind == "outcome":
                story.outcome(story.lead_id(email), type_, id_=f"o{number}")
            elif kind == "refused":
                story.refused()
            else:
                story.event(email, type_ or "page.viewed", id_=f"e{number}", body=body, suspect=kind == "suspect")
    for topic in ("lead-scores", "lead-assignments", "lead-decisions"):
        if story.world.topics[topic]:
            story.repeat(topic, 0)
    story.receipt("p1", 1, number)
    return story.told()


def verdict_on(world: World) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        return check(world.write(Path(folder)))


@given(steps, st.integers(1, 3))
def test_a_correct_history_has_none(played: list[Step], reps: int) -> None:
    verdict = verdict_on(told(played, reps))
    assert verdict.ok, as_text(verdict)


# Tables in which every row follows from something that is elsewhere too.
WITNESSED = (
    *(f"{service}.{table}" for service in ("scoring", "routing", "metrics") for table in ("inbox", "quarantine")),
    *("scoring.lead", "scoring.touch", "scoring.identifier", "routing.lead", "routing.assignment", "routing.decision"),
    *("routing.waiting_outcome", "metrics.lead", "metrics.tally", "metrics.counted_outcome", "metrics.answered"),
)

# Of these, a second row with the same values can exist: no unique key forbids it.
WITHOUT_KEY = ("scoring.touch",)


@given(steps, st.integers(1, 3), st.randoms(use_true_random=False))
def test_one_record_or_row_less_is_noticed(played: list[Step], reps: int, chance: Random) -> None:
    world = told(played, reps)
    # A lead that only an outcome named: its row holds nothing yet.
    world.tables["routing.lead"] = [row for row in world.tables["routing.lead"] if row["state"] != "unknown"]
    things: list[list[Any]] = [rows for table in WITNESSED if (rows := world.tables[table])]
    things += [records for topic in TOPICS if (records := world.topics[topic])]
    place = chance.choice(things)
    del place[chance.randrange(len(place))]
    assert not verdict_on(world).ok


@given(steps, st.integers(1, 3), st.randoms(use_true_random=False))
def test_one_record_or_row_more_is_noticed(played: list[Step], reps: int, chance: Random) -> None:
    world = told(played, reps)
    topics = [topic for topic in TOPICS if world.topics[topic]]
    tables = [table for table in WITHOUT_KEY if world.tables[table]]
    place = chance.choice(topics + tables)
    if place in tables:
        world.tables[place].append(chance.choice(world.tables[place]))
    else:
        record = chance.choice(world.topics[place])
        copy = {**record, "headers": {**record["headers"], "ce_id": "nobody made this"}}
        partition = str(record["partition"])
        world.topics[place].append({**copy, "offset": world.bounds[place][partition][1]})
        world.bounds[place][partition][1] += 1
        for service in ("scoring", "routing", "metrics"):
            for row in world.tables[f"{service}.position"]:
                if (row["topic"], str(row["partition"])) == (place, partition):
                    row |= {"next": row["next"] + 1, "duplicates": row["duplicates"] + 1, "last_ce_id": None}
    assert not verdict_on(world).ok
