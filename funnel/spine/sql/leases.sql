-- name: add_partitions
-- rows for partitions seen for the first time
INSERT INTO position (topic, partition)
SELECT topic, partition FROM unnest($1::text[], $2::int[]) AS seen (topic, partition)
ORDER BY topic, partition
ON CONFLICT DO NOTHING

-- name: renew
-- rows that a batch of ours holds locked are renewed by that batch
UPDATE position p SET lease_until = clock_timestamp() + $2::interval
FROM (
    SELECT topic, partition FROM position
    WHERE owner = $1 AND lease_until > clock_timestamp()
    ORDER BY topic, partition FOR UPDATE SKIP LOCKED
) AS mine
WHERE p.topic = mine.topic AND p.partition = mine.partition

-- name: overview
SELECT topic, partition, owner, epoch, lease_until > clock_timestamp() AS live FROM position ORDER BY topic, partition

-- name: take
-- compare-and-set on the epoch seen: whoever was faster wins
UPDATE position SET owner = $1, epoch = epoch + 1, lease_until = clock_timestamp() + $2::interval
WHERE topic = $3 AND partition = $4 AND epoch = $5
RETURNING epoch

-- name: short_lock_wait
SET LOCAL lock_timeout = '1s'

-- name: release
UPDATE position SET owner = NULL, lease_until = '-infinity'
WHERE owner = $1

-- name: notify_leases
SELECT pg_notify(current_schema() || '_leases', '')

-- name: read_position
SELECT next, last_ce_id FROM position WHERE topic = $1 AND partition = $2 AND epoch = $3

-- name: start_position
UPDATE position SET first = $4, next = $4 WHERE topic = $1 AND partition = $2 AND epoch = $3 AND next IS NULL
