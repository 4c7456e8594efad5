"""The invented sales team that takes the leads: its `routing.yaml`, with a little less room than is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from funnel.demo.people import Person

ENTERPRISE = "enterprise"
INSIDE = "inside"
ENTERPRISE_EMPLOYEES = 300

ROOM = 0.6
"""Places for so large a part of the people. About three quarters qualify, so some leads have to be held."""

REPS: Mapping[str, tuple[tuple[str, str], ...]] = {
    ENTERPRISE: (("tanaka", "田中 美穂"), ("ito", "伊藤 蓮")),
    INSIDE: (("hayashi", "林 千尋"), ("brandt", "Eva Brandt"), ("kato", "加藤 悠斗")),
}
"""Rep ids and names by pool."""


def pool_of(person: Person) -> str:
    """The pool that the rules below give a person to."""
    return ENTERPRISE if person.company.employees >= ENTERPRISE_EMPLOYEES else INSIDE


def routing_yaml(people: Sequence[Person]) -> str:
    """The text of `routing.yaml` for a demo with these people."""
    reps: list[dict[str, Any]] = []
    for pool, members in REPS.items():
        expected = sum(pool_of(person) == pool for person in people)
        capacity = math.ceil(expected * ROOM / len(members))
        reps += [{"id": rep, "name": name, "email": f"{rep}@example.jp", "capacity": capacity} for rep, name in members]
    weights = {rep: 2 if place == 0 else 1 for members in REPS.values() for place, (rep, _) in enumerate(members)}
    document = {
        "pools": {
            pool: {"members": [{"rep": rep, "weight": weights[rep]} for rep, _ in members]}
            for pool, members in REPS.items()
        },
        "reps": reps,
        "rules": [
            {
                "rule": "large companies",
                "pool": ENTERPRISE,
                "when": [{"field": "employees", "at_least": ENTERPRISE_EMPLOYEES}],
            },
            {"rule": "everyone else", "pool": INSIDE},
        ],
    }
    return "# Written by `funnel demo`.\n" + yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
