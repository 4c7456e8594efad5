-- name: known_timeline
SELECT name FROM timeline

-- name: store_timeline
INSERT INTO timeline (name) VALUES ($1)
ON CONFLICT (one_row) DO UPDATE SET name = excluded.name, since = now() WHERE timeline.name <> excluded.name

-- name: read_positions
SELECT topic, partition, next FROM position WHERE next IS NOT NULL AND topic NOT LIKE '#%'

-- name: at_work
-- who still reads or publishes; nobody may while their tables change under them
SELECT DISTINCT owner FROM position WHERE owner IS NOT NULL AND lease_until > clock_timestamp()
