-- What the API asks. Nothing here takes a lock.

-- name: find_lead
-- The lead that claimed an identifier, if any did.
SELECT lead_id::text FROM identifier WHERE kind = $1 AND value = $2 AND lead_id IS NOT NULL

-- name: show_lead
-- A lead as published, and the other subjects of its touches.
SELECT record, evidence FROM lead WHERE lead_id = $1::uuid

-- name: page_of_touches
-- Touches in order, after the one at ($2, $3, $4); $5 at most.
SELECT occurred_at, event_id, source, type, details
FROM touch
WHERE subject = ANY ($1::uuid[])
  AND occurred_at >= $2
  AND (occurred_at, event_id COLLATE "C", source COLLATE "C") > ($2, $3, $4)
ORDER BY occurred_at, event_id COLLATE "C", source COLLATE "C"
LIMIT $5
