-- What the releaser asks.

-- name: pools_to_drain
-- Pools with a held lead that somebody could take now. Begins at the free reps: while there are none, nothing is read.
SELECT DISTINCT pool_member.pool AS name
FROM rep JOIN pool_member ON pool_member.rep = rep.id
WHERE rep.active AND rep.open < rep.capacity AND EXISTS (
    SELECT FROM lead
    WHERE lead.pool = pool_member.pool AND lead.state = 'held' AND NOT rep.id = ANY (lead.excluded)
)
ORDER BY name

-- name: totals
-- What routing tells Prometheus: leads held by pool and reason, outcomes that wait.
SELECT 'held' AS kind, pool, held_reason AS reason, count(*) AS count FROM lead WHERE state = 'held' GROUP BY pool, held_reason
UNION ALL
SELECT 'waiting', '', '', count(*) FROM waiting_outcome
