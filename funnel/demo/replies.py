"""What reps answer to the leads they got: accept, give back, win, lose, or nothing yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from funnel.contracts import LeadAssignment

SALES_TOOL = "sales-tool"
REPEATED = 0.2

_STORIES: Mapping[tuple[str, ...], float] = {
    (): 0.35,
    ("contacted",): 0.1,
    ("accepted",): 0.2,
    ("rejected",): 0.15,
    ("accepted", "appointment.set", "appointment.held", "opportunity.opened", "won"): 0.1,
    ("accepted", "lost"): 0.1,
}
_REASONS = {"rejected": ("wrong_region", "existing_customer", "on_leave"), "lost": ("price", "no_budget")}
_AMOUNTS = ("480000", "1200000", "2750000")


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcomes a rep reports about one assignment, in order, each with the number of times it is posted."""

    outcomes: tuple[tuple[Mapping[str, Any], int], ...]


def replies(seed: int, assignments: Iterable[tuple[int, LeadAssignment]], now: datetime) -> list[Reply]:
    """Replies to the assignments of the people with the given numbers; the same for the same seed and people."""
    found = (Reply(tuple(_reply(seed, number, assignment, now))) for number, assignment in assignments)
    return [reply for reply in found if reply.outcomes]


def _reply(
    seed: int, number: int, assignment: LeadAssignment, now: datetime
) -> Iterator[tuple[Mapping[str, Any], int]]:
    random = Random(f"reply/{seed}/{number}")  # noqa: S311 - repeatable play, no secret
    (story,) = random.choices(list(_STORIES), list(_STORIES.values()))
    for step, type_ in enumerate(story, start=1):
        outcome: dict[str, Any] = {
            "event_id": f"demo-{seed}-{number:04d}-reply-{step}",
            "type": type_,
            "lead_id": assignment.lead_id,
            "assignment_id": assignment.assignment_id,
            "epoch": assignment.epoch,
            "rep_id": assignment.rep.id,
            "occurred_at": now.isoformat(timespec="seconds"),
        }
        if type_ in _REASONS:
            outcome["reason"] = random.choice(_REASONS[type_])
        if type_ == "won":
            outcome["amount"] = {"value": random.choice(_AMOUNTS), "currency": "JPY"}
        yield outcome, 2 if random.random() < REPEATED else 1
