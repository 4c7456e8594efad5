-- name: add_leads
-- rows for leads seen for the first time, so that there is a row to lock
INSERT INTO lead (lead_id)
SELECT lead_id FROM unnest($1::uuid[]) AS seen (lead_id) ORDER BY lead_id
ON CONFLICT DO NOTHING

-- name: lock_leads
SELECT 1 FROM lead WHERE lead_id = ANY($1::uuid[]) ORDER BY lead_id FOR UPDATE

-- name: load_leads
-- `read_at` is the one clock by which a lead is unsettled for too long
SELECT lead_id::text, origin, score_version, stage, qualified, qualified_at, routing_version, routing_topic,
    routing_state, routing_stage, routing_at, assignments_started, assignments_ended, unsettled_since,
    clock_timestamp() AS read_at
FROM lead WHERE lead_id = ANY($1::uuid[])

-- name: save_leads
UPDATE lead l SET origin = n.origin, score_version = n.score_version, stage = n.stage, qualified = n.qualified,
    qualified_at = n.qualified_at, routing_version = n.routing_version, routing_topic = n.routing_topic,
    routing_state = n.routing_state, routing_stage = n.routing_stage, routing_at = n.routing_at,
    assignments_started = n.assignments_started, assignments_ended = n.assignments_ended, state = n.state,
    unsettled_since = n.unsettled_since
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::timestamptz[], $7::bigint[],
    $8::smallint[], $9::text[], $10::text[], $11::timestamptz[], $12::int[], $13::int[], $14::text[],
    $15::timestamptz[])
    AS n (lead_id, origin, score_version, stage, qualified, qualified_at, routing_version, routing_topic,
    routing_state, routing_stage, routing_at, assignments_started, assignments_ended, state, unsettled_since)
WHERE l.lead_id = n.lead_id

-- name: load_counted
-- in the order they were counted
SELECT decision_id, lead_id::text, type, day, deal_id, currency, amount, overtaken
FROM counted_outcome WHERE lead_id = ANY($1::uuid[]) ORDER BY seq

-- name: save_counted
INSERT INTO counted_outcome (decision_id, lead_id, type, day, deal_id, currency, amount, overtaken)
SELECT decision_id, lead_id, type, day, deal_id, currency, amount, overtaken
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::date[], $5::text[], $6::text[], $7::numeric[], $8::boolean[])
    WITH ORDINALITY AS n (decision_id, lead_id, type, day, deal_id, currency, amount, overtaken, n)
ORDER BY n

-- name: lead_states
-- `late`: unsettled for longer than allowed; leads in none or two places have no state and need no time
SELECT state, count(*) AS leads, count(*) FILTER (WHERE state IS NULL OR unsettled_since < clock_timestamp() - $1::interval)
    AS late, sum(assignments_started - assignments_ended) AS active, sum(assignments_started + assignments_ended) AS records
FROM lead GROUP BY state

-- name: unpublished_assignments
-- the outbox is the spine's table, the same in every service's schema
SELECT count(*) FROM routing.outbox WHERE topic = 'lead-assignments'
