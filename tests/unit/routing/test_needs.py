"""What a batch asks to be locked."""

from __future__ import annotations

from services.routing.domain.lead import Lead
from services.routing.domain.lead_state import State
from services.routing.domain.needs import needs
from tests.unit.routing.given import at, lead_id, outcome, score, unqualified

ASSIGNED = Lead(lead_id(1), State.ASSIGNED, pool="sales", rep="a", epoch=1, qualified_at=at(1))
HELD = Lead(lead_id(1), State.HELD, pool="sales", held_reason="no_reps", held_since=at(1), qualified_at=at(1))


def test_a_lead_that_marketing_keeps_needs_no_pool() -> None:
    assert needs({lead_id(1): Lead(lead_id(1))}, {}, [unqualified(1)], []).pools == frozenset()


def test_a_new_qualification_needs_its_pool_and_a_repeated_one_none() -> None:
    assert needs({lead_id(1): Lead(lead_id(1))}, {}, [score(1)], []).pools == {"sales"}
    assert needs({lead_id(1): ASSIGNED}, {}, [score(1, 2)], []).pools == frozenset()


def test_whoever_touches_a_held_lead_needs_its_pool_to_drain_it() -> None:
    assert needs({lead_id(1): HELD}, {}, [score(1, 2)], []).pools == {"sales"}
    assert needs({lead_id(1): HELD}, {}, [], [outcome("contacted", 1)]).pools == {"sales"}


def test_only_an_outcome_that_can_end_an_assignment_needs_its_rep() -> None:
    found = needs({lead_id(1): ASSIGNED}, {}, [], [outcome("accepted", 1), outcome("contacted", 1)])
    assert not found.pools
    assert not found.freed
    found = needs({lead_id(1): ASSIGNED}, {}, [], [outcome("rejected", 1)])
    assert found.pools == {"sales"}
    assert found.freed == {"a": 1}


def test_every_lead_that_an_outcome_may_be_about_counts() -> None:
    other = Lead(lead_id(2), State.ASSIGNED, pool="big", rep="b", epoch=1)
    claims = {"email:x": lead_id(1), "phone:y": lead_id(2)}
    found = needs(
        {lead_id(1): ASSIGNED, lead_id(2): other}, claims, [], [outcome("lost", names=("email:x", "phone:y"))]
    )
    assert found.pools == {"sales", "big"}
