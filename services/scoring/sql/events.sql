-- What a batch of events needs, in the order in which it runs. See the README for the order of locks.

-- name: insert_identifiers
-- Make a row of each identifier of the batch, so that there is something to lock. Waits for another transaction that
-- inserts the same one; the order of the key keeps two of them from waiting for each other.
INSERT INTO identifier (kind, value)
SELECT kind, value
FROM unnest($1::text[], $2::text[]) AS seen (kind, value)
ORDER BY kind COLLATE "C", value COLLATE "C"
ON CONFLICT DO NOTHING

-- name: lock_identifiers
-- Lock them in the order of the key. What is returned is what holds after the wait for the lock.
SELECT identifier.kind, identifier.value, identifier.lead_id::text AS lead_id,
    identifier.promised_to::text AS promised_to
FROM unnest($1::text[], $2::text[]) AS seen (kind, value)
JOIN identifier ON identifier.kind = seen.kind AND identifier.value = seen.value
ORDER BY identifier.kind, identifier.value
FOR UPDATE OF identifier

-- name: lock_leads
-- Then the leads they belong to.
SELECT lead_id FROM lead WHERE lead_id = ANY ($1::uuid[]) ORDER BY lead_id FOR UPDATE

-- name: load_leads
-- The leads.
SELECT record, evidence FROM lead WHERE lead_id = ANY ($1::uuid[])

-- name: load_touches
-- All touches of some leads or visitors.
SELECT subject::text AS subject, occurred_at, event_id, source, type, details
FROM touch
WHERE subject = ANY ($1::uuid[])

-- name: save_leads
-- Write the leads that changed, and give them the identifiers they claimed ($9 to $11).
WITH claimed AS (
    UPDATE identifier
    SET lead_id = claim.lead_id
    FROM unnest($9::text[], $10::text[], $11::uuid[]) AS claim (kind, value, lead_id)
    WHERE identifier.kind = claim.kind AND identifier.value = claim.value
)
INSERT INTO lead (lead_id, version, stage, score, created_at, changed_at, record, evidence)
SELECT *
FROM unnest(
    $1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[], $7::json[], $8::json[]
)
ON CONFLICT (lead_id) DO UPDATE
SET version = excluded.version,
    stage = excluded.stage,
    score = excluded.score,
    changed_at = excluded.changed_at,
    record = excluded.record,
    evidence = excluded.evidence

-- name: save_conflicts
-- Remember which leads may be one person.
INSERT INTO conflict (lead_id, other_lead_id, kind, value, source, event_id)
SELECT *
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
ON CONFLICT DO NOTHING
