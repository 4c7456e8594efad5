-- Reps and pools, changed by people and by routing.yaml. Order of locks: pools by name, then reps by id.

-- name: insert_pools
INSERT INTO pool (name) SELECT name FROM unnest($1::text[]) AS declared (name) ORDER BY name COLLATE "C"
ON CONFLICT DO NOTHING

-- name: lock_all_pools
SELECT name FROM pool ORDER BY name FOR UPDATE

-- name: declare_reps
-- The file says what a rep is called and can take; whether they are active is said while the system runs.
INSERT INTO rep (id, name, email, capacity)
SELECT id, name, email, capacity FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[])
    AS declared (id, name, email, capacity)
ORDER BY id COLLATE "C"
ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email, capacity = excluded.capacity
WHERE (rep.name, rep.email, rep.capacity) IS DISTINCT FROM (excluded.name, excluded.email, excluded.capacity)

-- name: withdraw_members
-- Members that were in the file and are not any more.
DELETE FROM pool_member
WHERE declared AND (pool, rep) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: declare_members
-- Keeps `current`: a change of weight does not start the rotation anew.
INSERT INTO pool_member (pool, rep, weight, declared)
SELECT pool, rep, weight, true FROM unnest($1::text[], $2::text[], $3::integer[]) AS declared (pool, rep, weight)
ON CONFLICT (pool, rep) DO UPDATE SET weight = excluded.weight, declared = true

-- name: insert_rep
INSERT INTO rep (id, name, email, capacity, active) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING id

-- name: insert_members
INSERT INTO pool_member (pool, rep, weight, declared)
SELECT pool, $1, weight, false FROM unnest($2::text[], $3::integer[]) AS joined (pool, weight)

-- name: update_rep
UPDATE rep SET name = coalesce($2, name), email = coalesce($3, email), capacity = coalesce($4, capacity),
    active = coalesce($5, active)
WHERE id = $1
RETURNING id

-- name: list_reps
SELECT rep.id, rep.name, rep.email, rep.capacity, rep.open, rep.active,
    coalesce(
        (SELECT jsonb_agg(jsonb_build_object('pool', pool, 'weight', weight) ORDER BY pool)
         FROM pool_member WHERE pool_member.rep = rep.id),
        '[]'
    ) AS pools
FROM rep
WHERE $1::text IS NULL OR rep.id = $1
ORDER BY rep.id

-- name: list_pools
SELECT pool.name, pool.decisions, (SELECT count(*) FROM lead WHERE lead.pool = pool.name AND state = 'held') AS held,
    coalesce(
        (SELECT jsonb_agg(
            jsonb_build_object(
                'rep', rep.id, 'name', rep.name, 'weight', pool_member.weight, 'current', pool_member.current,
                'open', rep.open, 'capacity', rep.capacity, 'active', rep.active
            ) ORDER BY rep.id)
         FROM pool_member JOIN rep ON rep.id = pool_member.rep WHERE pool_member.pool = pool.name),
        '[]'
    ) AS members
FROM pool
ORDER BY pool.name

-- name: list_held
-- The queue of each pool, in its order.
SELECT lead_id::text AS lead_id, pool, score, qualified_at, held_since AS since, held_reason AS reason, excluded
FROM lead
WHERE state = 'held' AND ($1::text IS NULL OR pool = $1)
ORDER BY pool, held_score DESC, qualified_at, lead.lead_id
LIMIT $2
