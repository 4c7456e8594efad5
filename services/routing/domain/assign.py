"""Who gets which lead: the queue of a pool, drained in order while somebody can take one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.routing.domain.pool import Pool, Rep
from services.routing.domain.rotation import Turn, pick


class Skipped(StrEnum):
    """Why a candidate cannot take a lead now."""

    INACTIVE = "inactive"
    AT_CAPACITY = "at_capacity"
    REJECTED_BEFORE = "rejected_before"


class Hold(StrEnum):
    """Why nobody can take a lead now."""

    NO_REPS = "no_reps"
    ALL_INACTIVE = "all_inactive"
    ALL_AT_CAPACITY = "all_at_capacity"
    ALL_REJECTED = "all_rejected"
    INTERRUPTED = "interrupted"
    """Not a verdict on the pool: a failover took away what was decided. The releaser decides again."""


class Choice(StrEnum):
    """How a rep was chosen among those who could take the lead."""

    ROTATION = "rotation"
    FORMER_OWNER = "former_owner"


@dataclass(frozen=True, slots=True)
class Queued:
    """A lead in a pool's queue. `fresh`: it joined now, so its hold needs a decision of its own."""

    lead_id: str
    score: int
    qualified_at: datetime
    excluded: tuple[str, ...] = ()
    preferred: str | None = None
    fresh: bool = True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member of the pool as a decision saw it, before it chose."""

    rep: str
    weight: int
    current: int
    open: int
    capacity: int
    skipped: Skipped | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision about one lead: given to `rep`, or held. `number` is gapless within the pool."""

    lead_id: str
    number: int
    at: datetime
    candidates: tuple[Candidate, ...]
    rep: str | None
    reason: Choice | Hold


@dataclass(frozen=True, slots=True)
class Drained:
    """A pool and its reps after the verdicts."""

    pool: Pool
    reps: Mapping[str, Rep]
    verdicts: tuple[Verdict, ...]


def drain(pool: Pool, queue: Iterable[Queued], reps: Mapping[str, Rep], now: datetime) -> Drained:
    """Give the queue's leads away in order (score, then waiting time, then id) while somebody can take them.

    A fresh lead that nobody can take gets a verdict with the reason; one that was held already stays as it was.
    """
    reps = dict(reps)
    verdicts: list[Verdict] = []
    seen: tuple[Candidate, ...] | None = None  # the candidates of a lead nobody rejected, until somebody is picked
    for lead in sorted(queue, key=lambda q: (-q.score, q.qualified_at, q.lead_id)):
        if lead.excluded:
            candidates = survey(pool, reps, lead.excluded)
        else:
            candidates = seen = seen or survey(pool, reps, ())
        chosen = choose(candidates, lead.preferred)
        if isinstance(chosen, Hold) and not lead.fresh:
            continue
        number = pool.decisions + 1
        if isinstance(chosen, Hold):
            verdicts.append(Verdict(lead.lead_id, number, now, candidates, None, chosen))
            pool = replace(pool, decisions=number)
            continue
        verdicts.append(Verdict(lead.lead_id, number, now, candidates, chosen.rep, chosen.reason))
        pool = _turned(pool, number, chosen.turns)
        reps[chosen.rep] = replace(reps[chosen.rep], open=reps[chosen.rep].open + 1)
        seen = None
    return Drained(pool, reps, tuple(verdicts))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rep who gets the lead, and the places in the rotation that changed with it."""

    rep: str
    reason: Choice
    turns: tuple[Turn, ...]


def survey(pool: Pool, reps: Mapping[str, Rep], excluded: Sequence[str]) -> tuple[Candidate, ...]:
    """Every member of the pool with the reason, if any, why they cannot take a lead that `excluded` rejected."""
    return tuple(
        Candidate(
            member.rep,
            member.weight,
            member.current,
            reps[member.rep].open,
            reps[member.rep].capacity,
            _skipped(reps[member.rep], excluded),
        )
        for member in pool.members
    )


def choose(candidates: Sequence[Candidate], preferred: str | None = None) -> Chosen | Hold:
    """The decision itself, from nothing but what its record keeps: called on the record it gives the same rep."""
    turns = [Turn(c.rep, c.weight, c.current) for c in candidates if c.skipped is None]
    if not turns:
        return hold_reason(candidates)
    if any(turn.rep == preferred for turn in turns):
        return Chosen(str(preferred), Choice.FORMER_OWNER, ())
    rep, after = pick(turns)
    return Chosen(rep, Choice.ROTATION, tuple(after))


def hold_reason(candidates: Sequence[Candidate]) -> Hold:
    """Why none of `candidates` can take the lead: of several reasons the one that would end first."""
    reasons = {candidate.skipped for candidate in candidates}
    if Skipped.AT_CAPACITY in reasons:
        return Hold.ALL_AT_CAPACITY
    if Skipped.INACTIVE in reasons:
        return Hold.ALL_INACTIVE
    return Hold.ALL_REJECTED if candidates else Hold.NO_REPS


def _skipped(rep: Rep, excluded: Sequence[str]) -> Skipped | None:
    if rep.rep_id in excluded:
        return Skipped.REJECTED_BEFORE
    if not rep.active:
        return Skipped.INACTIVE
    return None if rep.free else Skipped.AT_CAPACITY


def _turned(pool: Pool, number: int, turns: Sequence[Turn]) -> Pool:
    current = {turn.rep: turn.current for turn in turns}
    members = tuple(replace(m, current=current.get(m.rep, m.current)) for m in pool.members)
    return replace(pool, decisions=number, members=members)
