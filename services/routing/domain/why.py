"""Answers to "why did this lead go there, or nowhere?", in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from services.routing.domain.assign import Candidate, Hold, hold_reason, survey
from services.routing.domain.lead import Lead
from services.routing.domain.lead_state import Stage, State
from services.routing.domain.pool import Pool, Rep

HOLD_SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        Hold.NO_REPS: "the pool has no reps",
        Hold.ALL_INACTIVE: "every rep who could take it is inactive",
        Hold.ALL_AT_CAPACITY: "every active rep has as many open leads as they can have",
        Hold.ALL_REJECTED: "every rep of the pool has rejected it",
        Hold.INTERRUPTED: "the database failed over while it was to be given to another rep",
    }
)


def candidates_now(lead: Lead, pool: Pool, reps: Mapping[str, Rep]) -> tuple[Candidate, ...]:
    """The members of the pool, with the reason why each cannot take the lead at this moment."""
    return survey(pool, reps, lead.excluded)


def hold_now(candidates: Sequence[Candidate]) -> Hold | None:
    """Why the lead is held at this moment; None when somebody can take it and a release is due."""
    return None if any(one.skipped is None for one in candidates) else hold_reason(candidates)


def explain(lead: Lead, now: str | None = None) -> str:
    """Where the lead is and why. `now` is the reason that holds at this moment for a held lead."""
    match lead.state:
        case State.UNKNOWN:
            return "An outcome names this lead, but scoring has not published it yet."
        case State.NURTURING if lead.stage is Stage.RECYCLED:
            return "Sales gave it back to marketing; it comes back when it qualifies anew."
        case State.NURTURING:
            return f"Not qualified yet: its stage is {lead.stage}, its score {lead.score}."
        case State.HELD:
            then = HOLD_SENTENCES[str(lead.held_reason)]
            changed = "" if now in (None, lead.held_reason) else f"; now {HOLD_SENTENCES[str(now)]}"
            return f"Held in pool {lead.pool}: {then}{changed}."
        case State.ASSIGNED:
            return f"With {lead.rep}, from pool {lead.pool} by the rule {lead.rule!r}."
        case _:
            return f"Closed: its stage is {lead.stage}."
