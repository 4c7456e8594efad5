-- Sources and their keys. A key is live until it is revoked or has expired. Changes lock the row of the source first.

-- name: load_sources
SELECT name, origins, redirects, events_per_second, honeypot, min_fill_seconds, turnstile, fields, active FROM source

-- name: load_keys
SELECT source, kind, digest, extract(epoch FROM expires_at - now())::double precision AS seconds_left
FROM source_key
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())

-- name: list_sources
SELECT source.name, origins, redirects, events_per_second, honeypot, min_fill_seconds, turnstile, fields, active,
    created_at,
    coalesce(
        (SELECT jsonb_agg(
            jsonb_build_object('id', id, 'kind', kind, 'hint', hint, 'created_at', source_key.created_at,
                'expires_at', expires_at)
            ORDER BY kind DESC, source_key.created_at, id)
         FROM source_key
         WHERE source_key.source = source.name AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())),
        '[]'
    ) AS keys
FROM source
WHERE $1::text IS NULL OR source.name = $1
ORDER BY source.name

-- name: lock_source
SELECT name FROM source WHERE name = $1 FOR UPDATE

-- name: insert_source
INSERT INTO source
    (name, origins, redirects, events_per_second, honeypot, min_fill_seconds, turnstile, fields, active)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING
RETURNING name

-- name: update_source
UPDATE source SET origins = coalesce($2, origins), redirects = coalesce($3, redirects),
    events_per_second = coalesce($4, events_per_second), honeypot = coalesce($5, honeypot),
    min_fill_seconds = coalesce($6, min_fill_seconds), turnstile = coalesce($7, turnstile),
    fields = coalesce($8, fields), active = coalesce($9, active)
WHERE name = $1

-- name: expire_keys
-- Never later than a key expires already.
UPDATE source_key SET expires_at = least(expires_at, now() + $3 * interval '1 second')
WHERE source = $1 AND kind = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())

-- name: count_live_keys
SELECT count(*) FROM source_key
WHERE source = $1 AND kind = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())

-- name: insert_key
INSERT INTO source_key (source, kind, digest, hint) VALUES ($1, $2, $3, $4) RETURNING id

-- name: revoke_key
UPDATE source_key SET revoked_at = coalesce(revoked_at, now()) WHERE source = $1 AND id = $2 RETURNING id
