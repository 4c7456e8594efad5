-- Requests under an Idempotency-Key. All times are the server's: the machines of two replicas need not agree.

-- name: idempotency_begin
-- A row for a key that nobody uses, that was forgotten, or whose work was given up; no row otherwise.
INSERT INTO idempotency AS i (source, path, key, fingerprint, attempt)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (source, path, key) DO UPDATE
SET fingerprint = excluded.fingerprint, attempt = excluded.attempt, started_at = excluded.started_at,
    status = NULL, content_type = NULL, headers = NULL, body = NULL
WHERE i.started_at < clock_timestamp() - $7::interval
    OR (i.status IS NULL AND i.fingerprint = excluded.fingerprint AND i.started_at < clock_timestamp() - $6::interval)
RETURNING attempt

-- name: idempotency_find
SELECT fingerprint, status, content_type, headers, body FROM idempotency WHERE source = $1 AND path = $2 AND key = $3

-- name: idempotency_keep
UPDATE idempotency SET status = $5, content_type = $6, headers = $7, body = $8
WHERE source = $1 AND path = $2 AND key = $3 AND attempt = $4

-- name: idempotency_drop
DELETE FROM idempotency WHERE source = $1 AND path = $2 AND key = $3 AND attempt = $4

-- name: idempotency_prune
WITH old AS (
    SELECT source, path, key FROM idempotency
    WHERE started_at < clock_timestamp() - $1::interval ORDER BY started_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM idempotency AS i USING old
    WHERE i.source = old.source AND i.path = old.path AND i.key = old.key RETURNING 1
)
SELECT count(*) FROM gone
