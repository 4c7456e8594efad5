-- name: open_by_kind
SELECT kind, count(*) AS count FROM metrics.audit_finding WHERE gone_at IS NULL AND accepted_at IS NULL GROUP BY kind

-- name: keep
-- a finding that comes back is open again, unless a person has accepted it; last_seen is right to the minute, so that a
-- thousand findings are not rewritten at every look. What comes back is new
INSERT INTO metrics.audit_finding (kind, what, topic, partition, record_offset, lead_id, detail)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::uuid[], $7::jsonb[])
ON CONFLICT (kind, what) DO UPDATE SET last_seen = now(), checked_at = now(), gone_at = NULL, detail = excluded.detail
WHERE audit_finding.gone_at IS NOT NULL OR audit_finding.last_seen < now() - interval '1 minute'
RETURNING kind, what, xmax = 0 AS is_new

-- name: to_check
-- those that were not looked at for the longest time
SELECT id, kind, what, topic, partition, record_offset, lead_id::text, detail, first_seen, last_seen, gone_at, accepted_at, note
FROM metrics.audit_finding
WHERE gone_at IS NULL AND accepted_at IS NULL AND (topic IS NOT NULL OR lead_id IS NOT NULL)
ORDER BY checked_at LIMIT $1

-- name: checked
UPDATE metrics.audit_finding SET checked_at = now(),
    last_seen = CASE WHEN id = ANY($2::bigint[]) THEN now() ELSE last_seen END,
    gone_at = CASE WHEN id = ANY($3::bigint[]) THEN now() END
WHERE id = ANY($1::bigint[]) AND accepted_at IS NULL

-- name: listed
SELECT id, kind, what, topic, partition, record_offset, lead_id::text, detail, first_seen, last_seen, gone_at, accepted_at, note
FROM metrics.audit_finding WHERE $1 OR (gone_at IS NULL AND accepted_at IS NULL) ORDER BY id

-- name: accept
UPDATE metrics.audit_finding SET accepted_at = now(), note = $2
WHERE id = ANY($1::bigint[]) AND accepted_at IS NULL AND gone_at IS NULL
RETURNING id

-- name: cursors
SELECT walk, at FROM metrics.audit_cursor

-- name: move_cursor
INSERT INTO metrics.audit_cursor (walk, at) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (walk) DO UPDATE SET at = excluded.at

-- name: round_done
UPDATE metrics.audit_round SET at = clock_timestamp()

-- name: round_age
SELECT extract(epoch FROM clock_timestamp() - coalesce(at, began_at))::float8 AS seconds FROM metrics.audit_round

-- name: accepted_losses
SELECT kind, sum(count)::bigint AS count FROM metrics.accepted_loss GROUP BY kind

-- name: accept_loss
INSERT INTO metrics.accepted_loss (kind, count, note) VALUES ($1, $2, $3)
