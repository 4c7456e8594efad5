-- name: next_outbox
-- nothing for a relay whose lease is gone: a thawed one must not send what its successor sends
SELECT id, topic, key, ce_id, headers, value FROM outbox
WHERE EXISTS (
    SELECT FROM position
    WHERE topic = '#outbox' AND partition = 0 AND owner = $1 AND epoch = $2 AND lease_until > clock_timestamp()
)
ORDER BY id LIMIT $3

-- name: forget_sent
-- explicit ids: a lower id may still be uncommitted when a higher one is sent.
-- One statement, so one transaction: renew the lease, and only with it forget the rows and store the offsets.
WITH lease AS (
    UPDATE position SET lease_until = clock_timestamp() + $3::interval
    WHERE topic = '#outbox' AND partition = 0 AND owner = $1 AND epoch = $2
    RETURNING 1
), gone AS (
    DELETE FROM outbox WHERE id = ANY($4::bigint[]) AND EXISTS (SELECT FROM lease)
), stored AS (
    INSERT INTO relay_position (topic, partition, next)
    SELECT topic, partition, next FROM unnest($5::text[], $6::int[], $7::bigint[]) AS r (topic, partition, next)
    WHERE EXISTS (SELECT FROM lease)
    ON CONFLICT (topic, partition) DO UPDATE SET next = greatest(relay_position.next, excluded.next)
)
SELECT count(*) FROM lease

-- name: relay_positions
SELECT topic, partition, next FROM relay_position

-- name: outbox_topics
SELECT DISTINCT topic FROM outbox

-- name: published_ids
SELECT id FROM outbox WHERE ce_id = ANY($1::text[])
