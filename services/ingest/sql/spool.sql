-- The spool. Every statement that puts rows in or takes them out counts them in spool_account, in one transaction.

-- name: spool_put
WITH given AS (
    SELECT topic, key, headers, value, n
    FROM unnest($2::text[], $3::bytea[], $4::bytea[], $5::bytea[]) WITH ORDINALITY AS r (topic, key, headers, value, n)
), kept AS (
    INSERT INTO spool (topic, key, headers, value) SELECT topic, key, headers, value FROM given ORDER BY n
)
INSERT INTO spool_account AS a (replica, topic, spooled)
SELECT $1, topic, count(*) FROM given GROUP BY topic ORDER BY topic
ON CONFLICT (replica, topic) DO UPDATE SET spooled = a.spooled + excluded.spooled

-- name: spool_claim
-- the oldest rows that nobody has in hand, as many as are together not much larger than $4 bytes
WITH free AS (
    SELECT id, octet_length(value) AS bytes FROM spool
    WHERE claimed_until < now() AND id > $5 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED
), mine AS (
    SELECT id FROM (SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS before FROM free) AS f WHERE before < $4
)
UPDATE spool SET claimed_by = $1, claimed_until = now() + $2::interval
WHERE id = ANY (ARRAY(SELECT id FROM mine))
RETURNING id, topic, key, headers, value

-- name: spool_forget
-- explicit ids: also of rows whose claim ran out meanwhile, for they are published
WITH gone AS (
    DELETE FROM spool WHERE id = ANY($2::bigint[]) RETURNING topic
)
INSERT INTO spool_account AS a (replica, topic, drained)
SELECT $1, topic, count(*) FROM gone GROUP BY topic ORDER BY topic
ON CONFLICT (replica, topic) DO UPDATE SET drained = a.drained + excluded.drained

-- name: spool_release
-- not what somebody else took over after the claim ran out
UPDATE spool SET claimed_until = '-infinity' WHERE id = ANY($2::bigint[]) AND claimed_by = $1

-- name: spool_waiting
-- counted by the account: the rows themselves may be millions
SELECT greatest(0, (SELECT sum(spooled - drained) FROM spool_account))::bigint AS rows,
    greatest(0, extract(epoch FROM clock_timestamp() - oldest.at))::double precision AS seconds
FROM (SELECT at FROM spool ORDER BY id LIMIT 1) AS oldest
