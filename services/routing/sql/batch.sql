-- What a batch needs, in the order in which it runs. See the README for the order of locks.

-- name: known_names
-- Names that belong to a lead already. That never changes, so they need no lock.
SELECT name, lead_id::text AS lead_id FROM identifier WHERE name = ANY ($1::text[]) AND lead_id IS NOT NULL

-- name: claim_names
-- Claim the names that nobody has, for the lead beside them or, null, for an outcome that will wait under them. Either
-- way their rows are locked, in order; what is returned holds after the wait.
INSERT INTO identifier (name, lead_id)
SELECT name, lead_id FROM unnest($1::text[], $2::uuid[]) AS seen (name, lead_id) ORDER BY name COLLATE "C"
ON CONFLICT (name) DO UPDATE SET lead_id = coalesce(identifier.lead_id, excluded.lead_id)
RETURNING name, lead_id::text AS lead_id

-- name: insert_leads
-- Make a row of each lead, so that there is something to lock; those made here are locked and empty. Waits for another
-- transaction that makes the same one, and has no lock on an older row yet: so it cannot be part of a deadlock.
INSERT INTO lead (lead_id)
SELECT lead_id FROM unnest($1::uuid[]) AS seen (lead_id) ORDER BY lead_id
ON CONFLICT DO NOTHING
RETURNING lead_id::text AS lead_id

-- name: lock_leads
-- A locked row is returned as it is after the wait for its lock.
SELECT lead_id::text AS lead_id, state, stage, version, score_version, score, epoch, cycle, pool, rule, rep,
    qualified_at, closed_at, held_since, held_reason, excluded, preferred, facts::text AS facts
FROM lead
WHERE lead_id = ANY ($1::uuid[])
ORDER BY lead.lead_id
FOR UPDATE

-- name: lock_waiting
-- Outcomes that waited for a lead with one of these names.
SELECT outcome::text AS outcome FROM waiting_outcome
WHERE names && $1::text[]
ORDER BY source, event_id
FOR UPDATE

-- name: pools_of_reps
SELECT DISTINCT pool FROM pool_member WHERE rep = ANY ($1::text[])

-- name: lock_pools
SELECT name, decisions FROM pool WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE

-- name: lock_reps
-- The members of the locked pools, and others whose slot may become free.
SELECT id, name, email, capacity, open, active FROM rep
WHERE id = ANY ($2::text[]) OR id IN (SELECT rep FROM pool_member WHERE pool = ANY ($1::text[]))
ORDER BY id
FOR UPDATE

-- name: load_members
-- Membership changes under the pool's lock only.
SELECT pool, rep, weight, current FROM pool_member WHERE pool = ANY ($1::text[]) ORDER BY pool, rep

-- name: load_held
-- The leads that `slots` free slots may go to: for each rep the first of the queue whom they may have. A lead that is
-- given away is among these: all before it in that rep's list were given away too. Never waits: whoever holds a lead
-- that is skipped here drains the pool themselves. $4: leads that are loaded already.
WITH next AS (
    SELECT DISTINCT queued.lead_id
    FROM unnest($1::text[], $2::text[], $3::integer[]) AS free (pool, rep, slots)
    CROSS JOIN LATERAL (
        SELECT lead.lead_id FROM lead
        WHERE lead.pool = free.pool AND lead.state = 'held'
            AND NOT free.rep = ANY (lead.excluded) AND NOT lead.lead_id = ANY ($4::uuid[])
        ORDER BY lead.held_score DESC, lead.qualified_at, lead.lead_id
        LIMIT free.slots
    ) AS queued
)
SELECT lead_id::text AS lead_id, state, stage, version, score_version, score, epoch, cycle, pool, rule, rep,
    qualified_at, closed_at, held_since, held_reason, excluded, preferred, facts::text AS facts
FROM lead
WHERE lead_id IN (SELECT lead_id FROM next) AND state = 'held'
FOR UPDATE SKIP LOCKED

-- name: load_assignments
SELECT lead_id::text AS lead_id, epoch, assignment_id::text AS assignment_id, rep, pool, rule, status, assigned_at,
    ended_at, why
FROM assignment
WHERE lead_id = ANY ($1::uuid[])
ORDER BY lead_id, epoch

-- name: load_deals
SELECT lead_id::text AS lead_id, key, deal_stage, amount::text AS amount, currency, opened_at, won_at, lost_at,
    cancelled_at, reopened_at
FROM deal
WHERE lead_id = ANY ($1::uuid[])

-- name: save_leads
-- excluded comes as one text: rep ids hold no comma.
UPDATE lead
SET state = new.state, stage = new.stage, version = new.version, score_version = new.score_version, score = new.score,
    epoch = new.epoch, cycle = new.cycle, pool = new.pool, rule = new.rule, rep = new.rep,
    qualified_at = new.qualified_at, closed_at = new.closed_at, held_since = new.held_since,
    held_reason = new.held_reason, held_score = CASE WHEN new.state = 'held' THEN new.score END,
    excluded = string_to_array(new.excluded, ','), preferred = new.preferred, facts = new.facts
FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::integer[], $7::integer[], $8::integer[],
    $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::text[],
    $16::text[], $17::text[], $18::jsonb[]
) AS new (
    lead_id, state, stage, version, score_version, score, epoch, cycle, pool, rule, rep, qualified_at, closed_at,
    held_since, held_reason, excluded, preferred, facts
)
WHERE lead.lead_id = new.lead_id

-- name: end_assignments
UPDATE assignment
SET status = new.status, ended_at = new.ended_at, why = new.why
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[]) AS new (assignment_id, status, ended_at, why)
WHERE assignment.assignment_id = new.assignment_id

-- name: begin_assignments
INSERT INTO assignment (assignment_id, lead_id, epoch, rep, pool, rule, status, assigned_at)
SELECT assignment_id, lead_id, epoch, rep, pool, rule, 'active', assigned_at
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
    AS new (assignment_id, lead_id, epoch, rep, pool, rule, assigned_at)

-- name: save_pools
-- The pools' numbers ($1, $2), the rotation ($3 to $5) and the reps' load ($6, $7).
WITH numbered AS (
    UPDATE pool SET decisions = new.decisions
    FROM unnest($1::text[], $2::bigint[]) AS new (name, decisions)
    WHERE pool.name = new.name
), turned AS (
    UPDATE pool_member SET current = new.current
    FROM unnest($3::text[], $4::text[], $5::integer[]) AS new (pool, rep, current)
    WHERE pool_member.pool = new.pool AND pool_member.rep = new.rep
)
UPDATE rep SET open = new.open
FROM unnest($6::text[], $7::integer[]) AS new (id, open)
WHERE rep.id = new.id

-- name: save_decisions
INSERT INTO decision (
    decision_id, lead_id, version, kind, at, source, event_id, mode, pool, number, rule, rep, epoch, state, stage, reason,
    candidates, outcome, config_version
)
SELECT
    decision_id, lead_id, version, kind, at, source, event_id, mode, pool, number, rule, rep, epoch, state, stage, reason,
    candidates, outcome, $19
FROM unnest(
    $1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bigint[], $11::text[], $12::text[], $13::integer[], $14::text[], $15::text[], $16::text[], $17::jsonb[],
    $18::jsonb[]
) AS new (
    decision_id, lead_id, version, kind, at, source, event_id, mode, pool, number, rule, rep, epoch, state, stage, reason,
    candidates, outcome
)

-- name: save_deals
INSERT INTO deal (
    lead_id, key, deal_stage, amount, currency, opened_at, won_at, lost_at, cancelled_at, reopened_at
)
SELECT lead_id, key, deal_stage, amount::numeric, currency, opened_at, won_at, lost_at, cancelled_at, reopened_at
FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[],
    $9::timestamptz[], $10::timestamptz[]
) AS new (lead_id, key, deal_stage, amount, currency, opened_at, won_at, lost_at, cancelled_at, reopened_at)
ON CONFLICT (lead_id, key) DO UPDATE
SET deal_stage = excluded.deal_stage, amount = excluded.amount, currency = excluded.currency,
    opened_at = excluded.opened_at, won_at = excluded.won_at, lost_at = excluded.lost_at,
    cancelled_at = excluded.cancelled_at, reopened_at = excluded.reopened_at

-- name: put_waiting
INSERT INTO waiting_outcome (source, event_id, names, outcome, since)
SELECT source, event_id, ARRAY(SELECT jsonb_array_elements_text(names)), outcome, $5
FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[]) AS new (source, event_id, names, outcome)

-- name: take_waiting
DELETE FROM waiting_outcome
USING unnest($1::text[], $2::text[]) AS arrived (source, event_id)
WHERE waiting_outcome.source = arrived.source AND waiting_outcome.event_id = arrived.event_id
