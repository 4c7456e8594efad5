"""Routing's tables. Every function is a fixed number of statements for a whole batch, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

import msgspec

from funnel.contracts import Amount
from funnel.postgres import Row, Transaction, load_queries
from services.routing.domain.batch import Changes, Loaded
from services.routing.domain.deals import Deal
from services.routing.domain.lead import Assignment, AssignmentStatus, Cause, Facts, Lead, Outcome
from services.routing.domain.lead_state import Stage, State
from services.routing.domain.pool import Member, Pool, Rep
from services.routing.domain.rules import RoutingRules

QUERIES = load_queries("services.routing.sql")

_facts = msgspec.json.Decoder(Facts)
_outcomes = msgspec.json.Decoder(Outcome)


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A row of the decision table; `candidates` and `outcome` are JSON."""

    decision_id: str
    lead_id: str | None
    version: int | None
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
    state: str | None
    stage: str | None
    reason: str | None
    candidates: object
    outcome: object | None


async def claim_names(tx: Transaction, wanted: Mapping[str, str | None]) -> tuple[dict[str, str], list[str]]:
    """Give each name of `wanted` that nobody has to the lead beside it; a name beside None waits for a lead, locked.

    Returns the lead of each name that has one, and the names that were seen for the first time or waited.
    """
    if not wanted:
        return {}, []
    known: dict[str, str] = {row["name"]: row["lead_id"] for row in await tx.fetch(QUERIES["known_names"], [*wanted])}
    open_names = sorted(wanted.keys() - known.keys())
    if not open_names:
        return known, []
    rows = await tx.fetch(QUERIES["claim_names"], open_names, [wanted[name] for name in open_names])
    return known | {row["name"]: row["lead_id"] for row in rows if row["lead_id"] is not None}, open_names


async def lock_leads(tx: Transaction, lead_ids: Set[str]) -> dict[str, Lead]:
    """Make the leads exist, lock them in order, and return them."""
    if not lead_ids:
        return {}
    made = {row["lead_id"]: Lead(row["lead_id"]) for row in await tx.fetch(QUERIES["insert_leads"], sorted(lead_ids))}
    if older := sorted(lead_ids - made.keys()):
        made |= {row["lead_id"]: _lead(row) for row in await tx.fetch(QUERIES["lock_leads"], older)}
    return made


async def lock_waiting(tx: Transaction, names: Collection[str]) -> list[Outcome]:
    """The outcomes that wait under any of `names`, locked."""
    rows = await tx.fetch(QUERIES["lock_waiting"], names) if names else []
    return [_outcomes.decode(row["outcome"]) for row in rows]


async def pools_of(tx: Transaction, reps: Collection[str]) -> set[str]:
    """The pools that any of `reps` is in."""
    return {row["pool"] for row in await tx.fetch(QUERIES["pools_of_reps"], sorted(reps))} if reps else set()


async def lock_pools(
    tx: Transaction, names: Collection[str], freed: Collection[str]
) -> tuple[dict[str, int], dict[str, Rep]]:
    """Lock the pools in order, then their reps and those in `freed`; the pools' last decision numbers and the reps."""
    if not names and not freed:
        return {}, {}
    numbers = await tx.fetch(QUERIES["lock_pools"], sorted(names))
    reps = await tx.fetch(QUERIES["lock_reps"], sorted(names), sorted(freed))
    return {row["name"]: row["decisions"] for row in numbers}, {row["id"]: _rep(row) for row in reps}


async def load_pools(tx: Transaction, numbers: Mapping[str, int]) -> dict[str, Pool]:
    """The locked pools with their members."""
    if not numbers:
        return {}
    members: dict[str, list[Member]] = {name: [] for name in numbers}
    for row in await tx.fetch(QUERIES["load_members"], sorted(numbers)):
        members[row["pool"]].append(Member(row["rep"], row["weight"], row["current"]))
    return {name: Pool(name, number, tuple(members[name])) for name, number in sorted(numbers.items())}


async def load_held(tx: Transaction, slots: Sequence[tuple[str, str, int]], loaded: Collection[str]) -> dict[str, Lead]:
    """Held leads, locked, that may go to the free `slots` (pool, rep, slots free in the pool); not those `loaded`."""
    if not slots:
        return {}
    pools, reps, free = ([one[part] for one in slots] for part in range(3))
    rows = await tx.fetch(QUERIES["load_held"], pools, reps, free, loaded)
    return {row["lead_id"]: _lead(row) for row in rows}


async def load_assignments(tx: Transaction, lead_ids: Collection[str]) -> list[Assignment]:
    """Every assignment of the leads, oldest first."""
    if not lead_ids:
        return []
    return [
        Assignment(**{**row, "status": AssignmentStatus(row["status"])})
        for row in await tx.fetch(QUERIES["load_assignments"], lead_ids)
    ]


async def load_deals(tx: Transaction, lead_ids: Collection[str]) -> list[Deal]:
    """The deals of the leads."""
    return [_deal(row) for row in await tx.fetch(QUERIES["load_deals"], lead_ids)] if lead_ids else []


async def save(
    tx: Transaction, changes: Changes, decisions: Sequence[DecisionRow], version: str, now: datetime
) -> None:
    """Write what a batch changed; `version` is that of the rules, `now` the time of the decision."""
    await _save_leads(tx, changes.leads)
    await _save_assignments(tx, changes.assignments)
    await _save_pools(tx, changes.pools, changes.reps)
    await save_decisions(tx, decisions, version)
    await _save_deals(tx, changes.deals)
    if changes.arrived:
        causes = changes.arrived
        await tx.execute(QUERIES["take_waiting"], [c.source for c in causes], [c.event_id for c in causes])
    if changes.waiting:
        await tx.execute(
            QUERIES["put_waiting"],
            [one.cause.source for one in changes.waiting],
            [one.cause.event_id for one in changes.waiting],
            [one.names_awaited for one in changes.waiting],
            list(changes.waiting),
            now,
        )


async def _save_leads(tx: Transaction, leads: Sequence[Lead]) -> None:
    if not leads:
        return
    await tx.execute(
        QUERIES["save_leads"],
        [one.lead_id for one in leads],
        [one.state for one in leads],
        [one.stage for one in leads],
        [one.version for one in leads],
        [one.score_version for one in leads],
        [one.score for one in leads],
        [one.epoch for one in leads],
        [one.cycle for one in leads],
        [one.pool for one in leads],
        [one.rule for one in leads],
        [one.rep for one in leads],
        [one.qualified_at for one in leads],
        [one.closed_at for one in leads],
        [one.held_since for one in leads],
        [one.held_reason for one in leads],
        [",".join(one.excluded) for one in leads],
        [one.preferred for one in leads],
        [one.facts for one in leads],
    )


async def _save_assignments(tx: Transaction, assignments: Sequence[Assignment]) -> None:
    ended = [one for one in assignments if one.status is not AssignmentStatus.ACTIVE]
    begun = [one for one in assignments if one.status is AssignmentStatus.ACTIVE]
    if ended:  # first: a lead may have one active assignment only
        await tx.execute(
            QUERIES["end_assignments"],
            [one.assignment_id for one in ended],
            [one.status for one in ended],
            [one.ended_at for one in ended],
            [one.why for one in ended],
        )
    if begun:
        await tx.execute(
            QUERIES["begin_assignments"],
            [one.assignment_id for one in begun],
            [one.lead_id for one in begun],
            [one.epoch for one in begun],
            [one.rep for one in begun],
            [one.pool for one in begun],
            [one.rule for one in begun],
            [one.assigned_at for one in begun],
        )


async def _save_pools(tx: Transaction, pools: Sequence[Pool], reps: Sequence[Rep]) -> None:
    if not pools and not reps:
        return
    members = [(pool.name, member.rep, member.current) for pool in pools for member in pool.members]
    await tx.execute(
        QUERIES["save_pools"],
        [pool.name for pool in pools],
        [pool.decisions for pool in pools],
        *([one[part] for one in members] for part in range(3)),
        [rep.rep_id for rep in reps],
        [rep.open for rep in reps],
    )


async def save_decisions(tx: Transaction, rows: Sequence[DecisionRow], version: str) -> None:
    """Keep decisions that were taken by the rules of `version`."""
    if not rows:
        return
    await tx.execute(
        QUERIES["save_decisions"],
        [one.decision_id for one in rows],
        [one.lead_id for one in rows],
        [one.version for one in rows],
        [one.kind for one in rows],
        [one.at for one in rows],
        [one.source for one in rows],
        [one.event_id for one in rows],
        [one.mode for one in rows],
        [one.pool for one in rows],
        [one.number for one in rows],
        [one.rule for one in rows],
        [one.rep for one in rows],
        [one.epoch for one in rows],
        [one.state for one in rows],
        [one.stage for one in rows],
        [one.reason for one in rows],
        [one.candidates for one in rows],
        [one.outcome for one in rows],
        version,
    )


async def _save_deals(tx: Transaction, deals: Sequence[Deal]) -> None:
    if not deals:
        return
    await tx.execute(
        QUERIES["save_deals"],
        [one.lead_id for one in deals],
        [one.key for one in deals],
        [one.deal_stage for one in deals],
        [one.amount.value if one.amount else None for one in deals],
        [one.amount.currency if one.amount else None for one in deals],
        [one.opened_at for one in deals],
        [one.won_at for one in deals],
        [one.lost_at for one in deals],
        [one.cancelled_at for one in deals],
        [one.reopened_at for one in deals],
    )


async def known_assignments(tx: Transaction, assignment_ids: Collection[str]) -> dict[str, str]:
    """The status of each assignment that exists."""
    if not assignment_ids:
        return {}
    rows = await tx.fetch(QUERIES["known_assignments"], assignment_ids)
    return {row["assignment_id"]: row["status"] for row in rows}


async def known_decisions(tx: Transaction, decision_ids: Collection[str]) -> set[str]:
    """Those of the decisions that are kept."""
    if not decision_ids:
        return set()
    return {row["decision_id"] for row in await tx.fetch(QUERIES["known_decisions"], decision_ids)}


async def adopt_reps(tx: Transaction, reps: Sequence[tuple[str, str, str]]) -> list[str]:
    """Make the reps (id, name, e-mail) exist, inactive; those that did not."""
    columns = ([one[part] for one in reps] for part in range(3))
    return [row["id"] for row in await tx.fetch(QUERIES["adopt_reps"], *columns)]


async def load_for_adoption(tx: Transaction, lead_ids: Set[str], causes: Sequence[Cause]) -> Loaded:
    """The leads, made to exist, with all they have; every pool and rep; the outcomes of `causes` that wait. Locked."""
    leads = await lock_leads(tx, lead_ids)
    waiting = await tx.fetch(QUERIES["waiting_of"], [one.source for one in causes], [one.event_id for one in causes])
    numbers = {row["name"]: row["decisions"] for row in await tx.fetch(QUERIES["numbers_of_all_pools"])}
    return Loaded(
        leads=leads,
        assignments=await load_assignments(tx, lead_ids),
        deals=await load_deals(tx, lead_ids),
        waiting=[_outcomes.decode(row["outcome"]) for row in waiting],
        pools=await load_pools(tx, numbers),
        reps={row["id"]: _rep(row) for row in await tx.fetch(QUERIES["all_reps"])},
    )


async def adopt_assignments(tx: Transaction, assignments: Sequence[Assignment]) -> None:
    """Write assignments as they stand now, whether they were known or not."""
    if assignments:
        await tx.execute(
            QUERIES["adopt_assignments"],
            [one.assignment_id for one in assignments],
            [one.lead_id for one in assignments],
            [one.epoch for one in assignments],
            [one.rep for one in assignments],
            [one.pool for one in assignments],
            [one.rule for one in assignments],
            [one.status for one in assignments],
            [one.assigned_at for one in assignments],
            [one.ended_at for one in assignments],
            [one.why for one in assignments],
        )


async def declare(tx: Transaction, rules: RoutingRules) -> None:
    """Make the pools, reps and members of the file exist, without a change to the rotation."""
    await tx.execute(QUERIES["insert_pools"], sorted(rules.pools))
    await tx.execute(QUERIES["lock_all_pools"])
    await tx.execute(
        QUERIES["declare_reps"],
        [rep.id for rep in rules.reps],
        [rep.name for rep in rules.reps],
        [rep.email for rep in rules.reps],
        [rep.capacity for rep in rules.reps],
    )
    members = [(pool, member.rep, member.weight) for pool, members in rules.pools.items() for member in members]
    columns = [[one[part] for one in members] for part in range(3)]
    await tx.execute(QUERIES["withdraw_members"], *columns[:2])
    await tx.execute(QUERIES["declare_members"], *columns)


async def pools_to_drain(tx: Transaction) -> list[str]:
    """Pools with a held lead that somebody could take now."""
    return [row["name"] for row in await tx.fetch(QUERIES["pools_to_drain"])]


async def totals(tx: Transaction) -> list[Row]:
    """How many leads are held, by pool and reason, and how many outcomes wait."""
    return await tx.fetch(QUERIES["totals"])


def _lead(row: Row) -> Lead:
    return Lead(
        **{
            **row,
            "state": State(row["state"]),
            "stage": Stage(row["stage"]),
            "excluded": tuple(row["excluded"]),
            "facts": _facts.decode(row["facts"]),
        }
    )


def _rep(row: Row) -> Rep:
    return Rep(row["id"], row["name"], row["email"], row["capacity"], row["open"], row["active"])


def _deal(row: Row) -> Deal:
    columns = dict(row)
    value, currency = columns.pop("amount"), columns.pop("currency")
    return Deal(**columns, amount=Amount(value=value, currency=currency) if value is not None else None)


async def show_lead(tx: Transaction, lead_id: str) -> Lead | None:
    """One lead, not locked."""
    row = await tx.fetch_one(QUERIES["show_lead"], lead_id)
    return None if row is None else _lead(row)


async def show_decisions(tx: Transaction, lead_id: str, limit: int) -> list[Row]:
    """The newest decisions about the lead, oldest of them first."""
    return await tx.fetch(QUERIES["show_decisions"], lead_id, limit)


async def show_pool(tx: Transaction, name: str) -> tuple[Pool, dict[str, Rep]]:
    """A pool and its reps as they are now, not locked."""
    rows = await tx.fetch(QUERIES["show_members"], name)
    members = tuple(Member(row["id"], row["weight"], row["current"]) for row in rows)
    return Pool(name, 0, members), {row["id"]: _rep(row) for row in rows}


async def list_reps(tx: Transaction, rep: str | None = None) -> list[Row]:
    """Reps with their pools; all, or the one."""
    return await tx.fetch(QUERIES["list_reps"], rep)


async def list_pools(tx: Transaction) -> list[Row]:
    """Pools with their members and how many leads they hold."""
    return await tx.fetch(QUERIES["list_pools"])


async def list_held(tx: Transaction, pool: str | None, limit: int) -> list[Row]:
    """The queues, each in its order."""
    return await tx.fetch(QUERIES["list_held"], pool, limit)


async def lock_all_pools(tx: Transaction) -> list[str]:
    """The names of all pools, locked: before any change of who is in them."""
    return [row["name"] for row in await tx.fetch(QUERIES["lock_all_pools"])]


async def add_rep(tx: Transaction, rep: Rep, pools: Mapping[str, int]) -> bool:
    """Add a rep to pools (weight by name); False when the id is taken."""
    row = await tx.fetch_one(QUERIES["insert_rep"], rep.rep_id, rep.name, rep.email, rep.capacity, rep.active)
    if row is None:
        return False
    await tx.execute(QUERIES["insert_members"], rep.rep_id, list(pools), list(pools.values()))
    return True


async def change_rep(
    tx: Transaction, rep: str, *, name: str | None, email: str | None, capacity: int | None, active: bool | None
) -> bool:
    """Change what is not None; False when there is no such rep."""
    return await tx.fetch_one(QUERIES["update_rep"], rep, name, email, capacity, active) is not None
