-- name: add_answered
-- rows come in the order of the key; ON CONFLICT adds to the newest row
INSERT INTO answered AS a (process, events, outcomes)
SELECT process, events, outcomes
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS n (process, events, outcomes, n)
ORDER BY n
ON CONFLICT (process) DO UPDATE SET events = a.events + excluded.events, outcomes = a.outcomes + excluded.outcomes

-- name: answered
-- as numeric: a sum of bigints need not be one
SELECT coalesce(sum(events), 0) AS events, coalesce(sum(outcomes), 0) AS outcomes FROM answered

-- name: spool
-- one statement, so one moment: a row and what the account says of it come and go together
-- the spool is read once: during an outage it may be huge
SELECT topic, account.should_hold, coalesce(waiting.holds, 0) AS holds
FROM (SELECT topic, sum(spooled - drained)::bigint AS should_hold FROM ingest.spool_account GROUP BY topic) AS account
LEFT JOIN (SELECT topic, count(*) AS holds FROM ingest.spool GROUP BY topic) AS waiting USING (topic)
