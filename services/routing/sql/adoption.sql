-- After a failover: what was published and is not known here. Nobody else is at work.

-- name: known_assignments
SELECT assignment_id::text AS assignment_id, status FROM assignment WHERE assignment_id = ANY ($1::uuid[])

-- name: known_decisions
SELECT decision_id::text AS decision_id FROM decision WHERE decision_id = ANY ($1::uuid[])

-- name: numbers_of_all_pools
SELECT name, decisions FROM pool ORDER BY name FOR UPDATE

-- name: adopt_reps
-- Reps who were added and then lost with the end of the database. They own leads; they get no new ones until somebody
-- says what they can take.
INSERT INTO rep (id, name, email, capacity, active)
SELECT id, name, email, 0, false FROM unnest($1::text[], $2::text[], $3::text[]) AS lost (id, name, email)
ORDER BY id COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING id

-- name: all_reps
SELECT id, name, email, capacity, open, active FROM rep ORDER BY id FOR UPDATE

-- name: waiting_of
SELECT outcome::text AS outcome FROM waiting_outcome
JOIN unnest($1::text[], $2::text[]) AS told (source, event_id) USING (source, event_id)

-- name: adopt_assignments
-- in the order of epochs: a lead may have one active assignment only, after each row
INSERT INTO assignment (assignment_id, lead_id, epoch, rep, pool, rule, status, assigned_at, ended_at, why)
SELECT assignment_id, lead_id, epoch, rep, pool, rule, status, assigned_at, ended_at, why
FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
    $9::timestamptz[], $10::text[])
    AS new (assignment_id, lead_id, epoch, rep, pool, rule, status, assigned_at, ended_at, why)
ORDER BY lead_id, epoch
ON CONFLICT (assignment_id) DO UPDATE
SET status = excluded.status, ended_at = excluded.ended_at, why = excluded.why
