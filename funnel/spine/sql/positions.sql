-- name: held_positions
SELECT topic, partition, epoch, next, last_ce_id FROM position
JOIN unnest($1::text[], $2::int[], $3::bigint[]) AS h (topic, partition, epoch) USING (topic, partition, epoch)

-- name: start_positions
-- no position yet: the service starts at the log's start, and the ledger counts from there
UPDATE position p SET first = s.start, next = s.start
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS s (topic, partition, epoch, start)
WHERE p.topic = s.topic AND p.partition = s.partition AND p.epoch = s.epoch AND p.next IS NULL

-- name: all_positions
SELECT topic, partition, owner, lease_until, lease_until > clock_timestamp() AS live, epoch, first, next,
    applied, duplicates, quarantined, holes, skipped
FROM position WHERE topic NOT LIKE '#%' ORDER BY topic, partition

-- name: skip_to
-- a new epoch fences whoever is reading; the gap is written down; the proof of identity is given up with it
UPDATE position SET skipped = skipped + ($3 - next), next = $3, last_ce_id = NULL, epoch = epoch + 1,
    owner = NULL, lease_until = '-infinity'
WHERE topic = $1 AND partition = $2 AND next IS NOT NULL AND next < $3
RETURNING skipped
