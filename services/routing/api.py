"""What routing answers over HTTP: why a lead is where it is, the reps, the pools and the leads held."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from funnel.errors import Conflict, DatabaseAway
from funnel.failpoints import reach
from funnel.http import HttpProblem
from funnel.postgres import Database, Row, Transaction
from services.routing import store
from services.routing.domain.assign import Candidate
from services.routing.domain.lead import Assignment, Lead
from services.routing.domain.lead_state import State
from services.routing.domain.pool import Rep
from services.routing.domain.rules import CAPACITY_MAX, WEIGHT_MAX
from services.routing.domain.why import candidates_now, explain, hold_now

DECISIONS_MAX = 1_000
"""Decisions told about one lead; far more than a lead collects, so that one lead cannot make an answer unbounded."""
HELD_MAX = 10_000
HELD_DEFAULT = 200
RETRY_SECONDS = 2

_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00]*$")]
_Email = Annotated[str, Field(max_length=254, pattern=r"^[^\x00]*$")]
_Capacity = Annotated[int, Field(ge=0, le=CAPACITY_MAX, description="Open leads the rep can have at once.")]


class CandidateShown(BaseModel):
    """A member of the pool as a decision saw it; `skipped` says why they could not take the lead."""

    rep: str
    weight: int
    current: int
    open: int
    capacity: int
    skipped: str | None

    @classmethod
    def of(cls, one: Candidate) -> Self:
        return cls(
            rep=one.rep,
            weight=one.weight,
            current=one.current,
            open=one.open,
            capacity=one.capacity,
            skipped=one.skipped,
        )


class DecisionShown(BaseModel):
    """A decision about the lead. `number` is gapless within the pool; (`source`, `event_id`) is what led to it."""

    decision_id: str
    kind: str
    at: datetime
    source: str
    event_id: str
    mode: str
    pool: str | None
    number: int | None
    rule: str | None
    rep: str | None
    epoch: int | None
    version: int | None
    state: str | None
    stage: str | None
    reason: str | None
    candidates: list[CandidateShown]
    outcome: dict[str, Any] | None
    config_version: str


class AssignmentShown(BaseModel):
    """One rep owns, or owned, the lead."""

    assignment_id: str
    epoch: int
    rep: str
    pool: str
    rule: str | None
    status: str
    assigned_at: datetime
    ended_at: datetime | None
    why: str | None

    @classmethod
    def of(cls, one: Assignment) -> Self:
        return cls(
            assignment_id=one.assignment_id,
            epoch=one.epoch,
            rep=one.rep,
            pool=one.pool,
            rule=one.rule,
            status=one.status,
            assigned_at=one.assigned_at,
            ended_at=one.ended_at,
            why=one.why,
        )


class HeldShown(BaseModel):
    """Why the lead is held: the reason when it was held, and the one that holds now (null: a release is due)."""

    since: datetime
    reason: str
    reason_now: str | None
    candidates: list[CandidateShown]


class Why(BaseModel):
    """Where the lead is, and how it came there."""

    lead_id: str
    explanation: str
    state: str
    stage: str
    score: int
    version: int
    epoch: int
    cycle: int
    pool: str | None
    rule: str | None
    rep: str | None
    qualified_at: datetime | None
    closed_at: datetime | None
    held: HeldShown | None
    assignments: list[AssignmentShown]
    decisions: list[DecisionShown]


class Membership(BaseModel):
    """A pool and how many leads the rep gets there compared with the other members."""

    model_config = ConfigDict(extra="forbid")

    pool: _Id
    weight: Annotated[int, Field(ge=1, le=WEIGHT_MAX)] = 1


class RepShown(BaseModel):
    """A rep; `open` is the number of leads they have now."""

    id: str
    name: str
    email: str
    capacity: int
    open: int
    active: bool
    pools: list[Membership]


class Reps(BaseModel):
    reps: list[RepShown]


class NewRep(BaseModel):
    """A rep to add. Without `pools` they join the only pool there is."""

    model_config = ConfigDict(extra="forbid")

    id: _Id
    name: _Name
    email: _Email = ""
    capacity: _Capacity
    active: bool = True
    pools: list[Membership] = []


class RepChange(BaseModel):
    """What to change; what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    name: _Name | None = None
    email: _Email | None = None
    capacity: _Capacity | None = None
    active: bool | None = None


class MemberShown(BaseModel):
    """A rep in a pool; `current` is their place in the rotation."""

    rep: str
    name: str
    weight: int
    current: int
    open: int
    capacity: int
    active: bool


class PoolShown(BaseModel):
    """A pool; `decisions` is the number of its last decision, `held` how many leads wait in it."""

    name: str
    decisions: int
    held: int
    members: list[MemberShown]


class Pools(BaseModel):
    pools: list[PoolShown]


class HeldLead(BaseModel):
    """A lead in a pool's queue."""

    lead_id: str
    pool: str
    score: int
    qualified_at: datetime
    since: datetime
    reason: str
    excluded: list[str]


class HeldLeads(BaseModel):
    """Each pool's queue, first in line first."""

    held: list[HeldLead]


def routes(database: Database, changed: Callable[[], None]) -> APIRouter:
    """The endpoints. `changed` is called when held leads may find a rep who could not take them before."""
    router = APIRouter()

    @router.get("/v1/leads/{lead_id}/why", tags=["leads"], summary="Why the lead went there, or nowhere.")
    async def why(lead_id: Annotated[UUID, Path()]) -> Why:
        async with _transaction(database) as tx:
            return await _why(tx, str(lead_id))

    @router.get("/v1/reps", tags=["reps"], summary="All reps.")
    async def reps() -> Reps:
        async with _transaction(database) as tx:
            return Reps(reps=[_rep(row) for row in await store.list_reps(tx)])

    @router.post("/v1/reps", tags=["reps"], status_code=201, summary="Add a rep.")
    async def add(new: NewRep) -> RepShown:
        async with _transaction(database) as tx:
            pools = _chosen(new.pools, await store.lock_all_pools(tx))
            rep = Rep(new.id, new.name, new.email, new.capacity, 0, new.active)
            if not await store.add_rep(tx, rep, pools):
                raise HttpProblem(409, "rep-exists", "Rep exists", f"There is a rep {new.id!r} already.")
            shown = await _one_rep(tx, new.id)
        changed()
        return shown

    @router.patch("/v1/reps/{rep_id}", tags=["reps"], summary="Change a rep.")
    async def change(rep_id: _Id, asked: RepChange) -> RepShown:
        async with _transaction(database) as tx:
            await store.change_rep(tx, rep_id, **asked.model_dump())
            shown = await _one_rep(tx, rep_id)
        changed()
        return shown

    @router.get("/v1/pools", tags=["pools"], summary="All pools with their members.")
    async def pools() -> Pools:
        async with _transaction(database) as tx:
            return Pools(pools=[PoolShown(**row) for row in await store.list_pools(tx)])

    @router.get("/v1/held", tags=["pools"], summary="Leads that nobody could take yet, in the order of the queues.")
    async def held(
        pool: Annotated[str | None, Query(description="Only this pool's.", max_length=64)] = None,
        limit: Annotated[int, Query(ge=1, le=HELD_MAX)] = HELD_DEFAULT,
    ) -> HeldLeads:
        async with _transaction(database) as tx:
            return HeldLeads(held=[HeldLead(**row) for row in await store.list_held(tx, pool, limit)])

    return router


async def _why(tx: Transaction, lead_id: str) -> Why:
    lead = await store.show_lead(tx, lead_id)
    if lead is None:
        detail = "Routing has not seen a lead with this id. Scoring may not have published it yet."
        raise HttpProblem(404, "lead-unknown", "Unknown lead", detail)
    held = await _held(tx, lead) if lead.state is State.HELD else None
    rows = await store.show_decisions(tx, lead_id, DECISIONS_MAX)
    return Why(
        lead_id=lead_id,
        explanation=explain(lead, held.reason_now if held else None),
        state=lead.state,
        stage=lead.stage,
        score=lead.score,
        version=lead.version,
        epoch=lead.epoch,
        cycle=lead.cycle,
        pool=lead.pool,
        rule=lead.rule,
        rep=lead.rep,
        qualified_at=lead.qualified_at,
        closed_at=lead.closed_at,
        held=held,
        assignments=[AssignmentShown.of(one) for one in await store.load_assignments(tx, [lead_id])],
        decisions=[DecisionShown(**row) for row in rows],
    )


async def _held(tx: Transaction, lead: Lead) -> HeldShown | None:
    if lead.pool is None or lead.held_since is None or lead.held_reason is None:
        return None
    candidates = candidates_now(lead, *await store.show_pool(tx, lead.pool))
    return HeldShown(
        since=lead.held_since,
        reason=lead.held_reason,
        reason_now=hold_now(candidates),
        candidates=[CandidateShown.of(one) for one in candidates],
    )


async def _one_rep(tx: Transaction, rep: str) -> RepShown:
    rows = await store.list_reps(tx, rep)
    if not rows:
        raise HttpProblem(404, "rep-unknown", "Unknown rep", f"There is no rep {rep!r}.")
    return _rep(rows[0])


def _rep(row: Row) -> RepShown:
    return RepShown(**row)


def _chosen(asked: list[Membership], known: list[str]) -> dict[str, int]:
    """Weight by pool. Raises a problem that names the pools there are."""
    names = ", ".join(known)
    if not asked:
        if len(known) == 1:
            return {known[0]: 1}
        raise _refused("/pools", f"Name at least one of the pools: {names}.")
    for index, membership in enumerate(asked):
        if membership.pool not in known:
            raise _refused(f"/pools/{index}/pool", f"There is no pool {membership.pool!r}; there are: {names}.")
    return {membership.pool: membership.weight for membership in asked}


def _refused(pointer: str, detail: str) -> HttpProblem:
    return HttpProblem(
        422, "invalid-request", "Invalid request", detail, errors=[{"pointer": pointer, "detail": detail}]
    )


@asynccontextmanager
async def _transaction(database: Database) -> AsyncIterator[Transaction]:
    """A transaction whose loss is answered with 503, not with a bug's 500."""
    try:
        async with database.transaction() as tx:
            yield tx
            reach("admin.commit.before")
        reach("admin.commit.after")
    except (DatabaseAway, Conflict) as error:
        raise HttpProblem(
            503, "source-away", "Not answerable now", str(error), headers={"Retry-After": str(RETRY_SECONDS)}
        ) from error
