-- name: list_quarantine
SELECT id, topic, partition, record_offset, source, event_id, reason, at, replayed_at FROM quarantine
WHERE replayed_at IS NULL OR $1 ORDER BY id LIMIT $2

-- name: show_quarantine
SELECT id, topic, partition, record_offset, source, event_id, reason, at, replayed_at, key, value, headers
FROM quarantine WHERE id = $1

-- name: mark_replayed
-- a record lies once in the log, and at most once in the quarantine of each service that reads it
UPDATE quarantine SET replayed_at = now() WHERE topic = $1 AND partition = $2 AND record_offset = $3

-- name: count_quarantine
SELECT count(*) FROM quarantine WHERE replayed_at IS NULL
