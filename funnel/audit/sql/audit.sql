-- Every statement finds a few rows by a key. `service.` stands for the schema of the service that is asked.

-- name: one_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: spans
SELECT topic, partition, first, next FROM service.position WHERE topic NOT LIKE '#%' AND next IS NOT NULL

-- name: hashes
SELECT source, event_id, hash FROM service.inbox
JOIN unnest($1::text[], $2::text[]) AS r (source, event_id) USING (source, event_id)

-- name: in_quarantine
SELECT topic, partition, record_offset FROM service.quarantine
JOIN unnest($1::text[], $2::int[], $3::bigint[]) AS r (topic, partition, record_offset)
    USING (topic, partition, record_offset)

-- name: scored
SELECT lead_id::text, version, changed_at FROM scoring.lead WHERE lead_id = ANY($1::uuid[])

-- name: published_before
-- leads that were published and that a failover took away, as reconciled: they come back with their next event
SELECT lead_id::text, version FROM scoring.published_before WHERE lead_id = ANY($1::uuid[])

-- name: taken
SELECT lead_id::text, score_version FROM routing.lead WHERE lead_id = ANY($1::uuid[])

-- name: assignments_by_id
SELECT assignment_id::text, lead_id::text, epoch, rep, status, assigned_at, ended_at
FROM routing.assignment WHERE assignment_id = ANY($1::uuid[])

-- name: assignments_of_leads
SELECT assignment_id::text, lead_id::text, epoch, rep, status, assigned_at, ended_at
FROM routing.assignment WHERE lead_id = ANY($1::uuid[])

-- name: quarantined_ids
-- records of a topic that the witness has in quarantine: they were published all the same
SELECT source, event_id FROM metrics.quarantine WHERE topic = ANY($1::text[])

-- name: outbox_span
SELECT (SELECT min(id) FROM service.outbox) AS first, (SELECT max(id) FROM service.outbox) AS last

-- name: witness_since
-- topics whose beginning the witness has not seen: what is older than its tables cannot be asked of it
SELECT topic, (SELECT began_at FROM metrics.audit_round) AS since FROM metrics.position
WHERE topic IN ('lead-scores', 'lead-assignments') GROUP BY topic HAVING bool_or(first > 0)

-- name: repeats
-- each becomes a finding of its own; beyond so many their number says nothing more
SELECT partition, least(duplicates, 1000) AS duplicates FROM metrics.position WHERE topic = 'lead-assignments' AND duplicates > 0

-- name: leads_after
-- the next leads of both tables, in order; each branch reads its index from there on
SELECT lead_id::text FROM (
    (SELECT lead_id FROM scoring.lead WHERE lead_id > $1::uuid ORDER BY lead_id LIMIT $2)
    UNION
    (SELECT lead_id FROM routing.assignment WHERE lead_id > $1::uuid ORDER BY lead_id LIMIT $2)
) AS both_tables ORDER BY both_tables.lead_id LIMIT $2
