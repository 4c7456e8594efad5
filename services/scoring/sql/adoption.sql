-- After a failover: what was published and is not known here. Nobody else is at work.

-- name: versions
-- The version to which each lead is known, in either table.
SELECT lead_id::text AS lead_id, max(version) AS version
FROM (
    SELECT lead_id, version FROM lead WHERE lead_id = ANY ($1::uuid[])
    UNION ALL
    SELECT lead_id, version FROM published_before WHERE lead_id = ANY ($1::uuid[])
) AS known
GROUP BY lead_id

-- name: put_published_before
INSERT INTO published_before (lead_id, version, stage, created_at, qualified_at)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (lead_id) DO UPDATE
SET version = greatest(published_before.version, excluded.version), stage = excluded.stage,
    qualified_at = excluded.qualified_at

-- name: promise_identifiers
INSERT INTO identifier (kind, value, promised_to)
SELECT kind, value, lead_id
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS promise (kind, value, lead_id)
ORDER BY kind COLLATE "C", value COLLATE "C"
ON CONFLICT (kind, value) DO UPDATE SET promised_to = excluded.promised_to

-- name: lock_published_before
-- Two events that are promised to one lead, by different identifiers, meet here.
SELECT lead_id::text AS lead_id, version, stage, created_at, qualified_at
FROM published_before
WHERE lead_id = ANY ($1::uuid[])
ORDER BY published_before.lead_id
FOR UPDATE
