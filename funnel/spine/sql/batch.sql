-- name: advance
-- the compare-and-set that fences: rows not returned belong to someone else by now, or were moved.
-- Every record counts as applied until the batch knows better.
UPDATE position p SET next = b.next, last_ce_id = b.last_ce_id, holes = p.holes + b.holes, applied = p.applied + b.records,
    lease_until = greatest(p.lease_until, clock_timestamp() + $8::interval)
FROM unnest(
    $1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $9::bigint[]
) AS b (topic, partition, epoch, expected, next, last_ce_id, holes, records)
WHERE p.topic = b.topic AND p.partition = b.partition AND p.epoch = b.epoch AND p.next = b.expected
RETURNING p.topic, p.partition

-- name: claim_inbox
-- what comes back is new
INSERT INTO inbox (source, event_id, hash)
SELECT source, event_id, hash FROM unnest($1::text[], $2::text[], $3::bytea[]) AS r (source, event_id, hash)
ON CONFLICT DO NOTHING
RETURNING source, event_id

-- name: forget_inbox
DELETE FROM inbox USING unnest($1::text[], $2::text[]) AS r (source, event_id)
WHERE inbox.source = r.source AND inbox.event_id = r.event_id

-- name: known_hashes
SELECT source, event_id, hash FROM inbox
JOIN unnest($1::text[], $2::text[]) AS r (source, event_id) USING (source, event_id)

-- name: recount
-- records of the batch that were not applied after all
UPDATE position p SET applied = p.applied - c.duplicates - c.quarantined, duplicates = p.duplicates + c.duplicates,
    quarantined = p.quarantined + c.quarantined
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS c (topic, partition, duplicates, quarantined)
WHERE p.topic = c.topic AND p.partition = c.partition

-- name: put_quarantine
INSERT INTO quarantine (topic, partition, record_offset, source, event_id, reason, key, value, headers)
SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[],
    $9::bytea[])
ON CONFLICT DO NOTHING

-- name: notify_outbox
SELECT pg_notify(current_schema() || '_outbox', '')
